-- retract: no edge
-- Removes schedules; the tasks that they have made stay.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     per schedule: its name
-- RETURNS  the names of those that were there
-- INCLUDE  record
local gone = {}
for i = 1, #ARGV do
  if redis.call('HDEL', KEYS[3], ARGV[i]) == 1 then gone[#gone + 1] = ARGV[i] end
  redis.call('ZREM', KEYS[4], ARGV[i])
end
return gone
