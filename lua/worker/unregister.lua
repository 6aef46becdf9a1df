-- unregister: no edge
-- Forgets a worker that ended in good order.
-- KEYS     1 workers  2 alive
-- ARGV     1 worker
-- RETURNS  1
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
