-- register: no edge
-- Keeps what a worker says of itself, and drops workers that fell silent.
-- KEYS     1 workers  2 alive
-- ARGV     1 now in ms, '' for the server's time  2 worker  3 how long it counts as alive
--          in ms  4 its data
-- RETURNS  1
-- INCLUDE  clock due
local now = clock(ARGV[1])
for _, id in ipairs(due(KEYS[2], now, 100)) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], id)
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[2])
return 1
