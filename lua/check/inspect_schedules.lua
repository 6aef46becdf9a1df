-- inspect_schedules: no edge
-- Reads schedules, each as one consistent view.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     names of schedules, one per argument
-- RETURNS  the last revision that was given; then per schedule an array, each '' when missing:
--          the schedule, the tick that it expects as text
-- INCLUDE  record
local reply = {redis.call('HGET', KEYS[2], 'revision') or 0}
for i = 1, #ARGV do
  reply[i + 1] = {
    redis.call('HGET', KEYS[3], ARGV[i]) or '', redis.call('ZSCORE', KEYS[4], ARGV[i]) or '',
  }
end
return reply
