-- repair_lane: no edge
-- Sets the lane and the rate of a limit key, or its permits, to what its tasks and its limit say.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 'lane' or 'permits'  3 limit key
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record lanes active_by_key
local now, key = clock(ARGV[1]), ARGV[3]

local function snapshot()
  return table.concat({
    redis.call('ZSCORE', lanes, key) or '', redis.call('ZSCORE', shut, key) or '',
    redis.call('HGET', turns, key) or '', redis.call('ZSCORE', rates, key) or '',
    redis.call('HGET', permits, key) or '',
  }, ' ')
end

-- If the limit cannot be unpacked, `limit` is an error's text, which is no table.
local _, limit = pcall(limit_of, key)
if limit and (type(limit) ~= 'table' or #limit ~= LIMIT_INTERVAL) then return 0 end
local before = snapshot()
if ARGV[2] == 'permits' then
  local counts = active_by_key()
  if not counts then return 0 end
  if counts[key] then
    redis.call('HSET', permits, key, counts[key])
  else
    redis.call('HDEL', permits, key)
  end
else
  if limit and limit[LIMIT_COUNT] > 0 then
    redis.call('ZADD', rates, 'XX', 'LT', latest_arrival(limit, now), key)
  else
    redis.call('ZREM', rates, key)
  end
end
if key ~= '' then open_or_throttle(key, now) end
return snapshot() == before and 0 or 1
