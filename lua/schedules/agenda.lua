-- agenda: no edge
-- Reads the schedules of a queue, or those that are due.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     1 now in ms, '' for the server's time  2 how many of those due, '0' for all there are
-- RETURNS  now in ms; ms until the next that is not due yet, -1 for none; then per schedule:
--          its name, the tick that is expected in ms or '', the schedule
-- INCLUDE  clock record
local now, most = clock(ARGV[1]), tonumber(ARGV[2])
local following = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. string.format('%.0f', now), '+inf',
  'WITHSCORES', 'LIMIT', 0, 1)
local reply = {now, following[2] and tonumber(following[2]) - now or -1}
local names
if most > 0 then
  names = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, most)
else
  names = redis.call('HKEYS', KEYS[3])
end
for _, name in ipairs(names) do
  reply[#reply + 1] = name
  reply[#reply + 1] = redis.call('ZSCORE', KEYS[4], name) or ''
  reply[#reply + 1] = redis.call('HGET', KEYS[3], name) or ''
end
return reply
