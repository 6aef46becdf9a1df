-- Whether the end of a task is still to be told to some; nil when it would take too long to
-- find out.
local ENDINGS_SEEN = 1000
local over = nil

local function in_endings(id)
  if not over then
    if redis.call('ZCARD', endings) > ENDINGS_SEEN then return nil end
    over = {}
    for _, raw in ipairs(redis.call('ZRANGE', endings, 0, -1)) do
      local _, ending = pcall(cmsgpack.unpack, raw)
      if type(ending) == 'table' and ending[2] then over[ending[2]] = true end
    end
  end
  return over[id] or false
end
