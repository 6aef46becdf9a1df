-- limit: no edge
-- Limits a key, the whole queue ('') or all keys without a limit of their own ('*').
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 key  3 how many may run at once, 0 for any
--          number, '' to leave it  4 '' to leave the rate, or a msgpack array: count (0 for any
--          number), period in ms, burst, interval in microseconds
-- RETURNS  1
-- INCLUDE  clock keys record history lanes queue_entry
local now, key = clock(ARGV[1]), ARGV[2]
local raw = redis.call('HGET', limits, key)
local limit = raw and cmsgpack.unpack(raw) or NO_LIMIT
local was = {unpack(limit, LIMIT_CONCURRENCY, LIMIT_BURST)}
if ARGV[3] ~= '' then limit[LIMIT_CONCURRENCY] = tonumber(ARGV[3]) end
if ARGV[4] ~= '' then
  for n, value in ipairs(cmsgpack.unpack(ARGV[4])) do limit[LIMIT_COUNT + n - 1] = value end
end
if limit[LIMIT_CONCURRENCY] == 0 and limit[LIMIT_COUNT] == 0 then
  redis.call('HDEL', limits, key)
else
  redis.call('HSET', limits, key, cmsgpack.pack(limit))
end

-- Shortens the wait of a key to what the new rate asks for.
local function shorten(one)
  local rate = limit_of(one)
  if rate and rate[LIMIT_COUNT] > 0 then
    redis.call('ZADD', rates, 'XX', 'LT', latest_arrival(rate, now), one)
  else
    redis.call('ZREM', rates, one)
  end
end

if key == ANY_KEY then
  for _, one in ipairs(redis.call('ZRANGE', rates, 0, -1)) do shorten(one) end
  for _, index in ipairs({lanes, shut}) do
    for _, one in ipairs(redis.call('ZRANGE', index, 0, -1)) do touched[one] = true end
  end
else
  shorten(key)
  if key ~= '' then touched[key] = true end
end
touch_lanes(now)
record_queue_entry(now, 'limit', key, was, {unpack(limit, LIMIT_CONCURRENCY, LIMIT_BURST)})
notify('wake')
return 1
