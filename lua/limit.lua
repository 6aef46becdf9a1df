-- limit: no edge
-- Sets the limit of a key, of the queue as a whole ('') or of all other keys ('*').
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 key  3 '' for none, or a msgpack array:
--          concurrency, count, period in ms, burst, interval in microseconds
-- RETURNS  1
-- INCLUDE  clock keys record lanes
local now, key = clock(ARGV[1]), ARGV[2]
if ARGV[3] == '' then
  redis.call('HDEL', limits, key)
else
  redis.call('HSET', limits, key, ARGV[3])
end
if key == '*' then
  for _, index in ipairs({lanes, shut}) do
    for _, one in ipairs(redis.call('ZRANGE', index, 0, -1)) do touched[one] = true end
  end
elseif key ~= '' then
  touched[key] = true
end
touch_lanes(now)
tell('wake')
tell('due')
return 1
