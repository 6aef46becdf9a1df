-- pause: no edge
-- Refuses claims from now on, or allows them again.
-- KEYS     1 records  2 meta
-- ARGV     1 '1' to pause, '0' to resume
-- RETURNS  1
-- INCLUDE  record
redis.call('HSET', KEYS[2], 'paused', ARGV[1])
if ARGV[1] == '0' then tell('wake') end
return 1
