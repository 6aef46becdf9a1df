-- Returns whether dependents of a task have still to be notified of its end; nil when it would
-- take too long to find out.
local ENDINGS_MAX = 1000
local unresolved = nil

local function is_unresolved(id)
  if not unresolved then
    if redis.call('ZCARD', endings) > ENDINGS_MAX then return nil end
    unresolved = {}
    for _, raw in ipairs(redis.call('ZRANGE', endings, 0, -1)) do
      local _, ending = pcall(cmsgpack.unpack, raw)
      if type(ending) == 'table' and ending[ENDING_ID] then unresolved[ending[ENDING_ID]] = true end
    end
  end
  return unresolved[id] or false
end
