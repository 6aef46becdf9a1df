-- unregister: no edge
-- Removes a worker that has stopped, and the orders to it.
-- KEYS     1 workers  2 alive  3 orders
-- ARGV     1 worker
-- RETURNS  1
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
