-- pause: no edge
-- Refuses claims from now on, or allows them again.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 '1' to pause, '0' to resume
-- RETURNS  1
-- INCLUDE  clock keys record history queue_entry
local was, is = redis.call('HGET', meta, 'paused') or '0', ARGV[2]
redis.call('HSET', meta, 'paused', is)
if is == '0' then notify('wake') end
local transition = is == '1' and 'pause' or 'resume'
record_queue_entry(clock(ARGV[1]), transition, '', {tonumber(was)}, {tonumber(is)})
return 1
