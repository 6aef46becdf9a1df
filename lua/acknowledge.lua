-- acknowledge: no edge
-- Forgets messages that have arrived.
-- KEYS     1 records  2 meta  3 outbox
-- ARGV     1 the number of the last that has arrived
-- RETURNS  how many are left
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
return redis.call('ZCARD', KEYS[3])
