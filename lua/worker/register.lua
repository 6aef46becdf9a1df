-- register: no edge
-- Stores a worker's heartbeat, removes workers whose last one is too old, and returns the orders
-- that the worker has not received.
-- KEYS     1 workers  2 alive  3 orders
-- ARGV     1 now in ms, '' for the server's time  2 worker  3 ms until it no longer
--          counts as alive  4 its data; then the ids of orders that it has received
-- RETURNS  array of {id, data}, the oldest first
-- INCLUDE  clock due
local now = clock(ARGV[1])
for _, id in ipairs(due(KEYS[2], now, 100)) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[1], id)
  redis.call('HDEL', KEYS[3], id)
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[2])
local packed = redis.call('HGET', KEYS[3], ARGV[2])
if not packed then return {} end
local received, left = {}, {}
for i = 5, #ARGV do received[ARGV[i]] = true end
for _, order in ipairs(cmsgpack.unpack(packed)) do
  if not received[order[1]] then left[#left + 1] = order end
end
if #left == 0 then
  redis.call('HDEL', KEYS[3], ARGV[2])
else
  redis.call('HSET', KEYS[3], ARGV[2], cmsgpack.pack(left))
end
return left
