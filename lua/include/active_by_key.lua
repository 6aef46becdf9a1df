-- Counts the active tasks of each limit key; nil when there are too many to count.
local COUNTED_MAX = 1000

local function active_by_key()
  if redis.call('ZCARD', active) > COUNTED_MAX then return nil end
  local counts, ids = {}, redis.call('ZRANGE', active, 0, -1)
  if #ids == 0 then return counts end
  for _, raw in ipairs(redis.call('HMGET', records, unpack(ids))) do
    local record = raw and decode(raw)
    local key = record and record[RELATIONS] and record[RELATIONS][LIMIT_KEY] or ''
    if key ~= '' then counts[key] = (counts[key] or 0) + 1 end
  end
  return counts
end
