-- acknowledge: no edge
-- Forgets messages that have arrived.
-- KEYS     1 records  2 meta  3 outbox
-- ARGV     1 the number of the last that has arrived
-- RETURNS  how many are left
-- Counted before: in a slot that moves, a key that has become empty is not to be asked for again.
local left = redis.call('ZCOUNT', KEYS[3], '(' .. ARGV[1], '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
return left
