-- order: no edge
-- Adds an order to those that a live worker has not received, unless it is one of them, and
-- notifies the worker.
-- KEYS     1 alive  2 orders
-- ARGV     1 now in ms, '' for the server's time  2 worker  3 the order's id  4 its data
--          5 channel of a queue that the worker serves
-- RETURNS  0 if the worker is not alive, 1 if the order is given, 2 if too many are not received
-- INCLUDE  clock
local now = clock(ARGV[1])
local till = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not till or tonumber(till) <= now then
  redis.call('HDEL', KEYS[2], ARGV[2])
  return ORDER_NO_WORKER
end
local packed = redis.call('HGET', KEYS[2], ARGV[2])
local orders, known = packed and cmsgpack.unpack(packed) or {}, false
for _, order in ipairs(orders) do known = known or order[1] == ARGV[3] end
if not known then
  if #orders >= ORDERS_MAX then return ORDER_TOO_MANY end
  orders[#orders + 1] = {ARGV[3], ARGV[4]}
  redis.call('HSET', KEYS[2], ARGV[2], cmsgpack.pack(orders))
end
redis.call('PUBLISH', ARGV[5], 'order:' .. ARGV[2])
return ORDER_GIVEN
