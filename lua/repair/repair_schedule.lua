-- repair_schedule: no edge
-- Removes a tick that no schedule expects; raises the queue's revision to that of a schedule.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     1 name
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  record schedule
local name = ARGV[1]
local there = redis.call('HEXISTS', KEYS[3], name) == 1
local schedule = load_schedule(KEYS[3], name)
if there and not schedule then return 0 end
local changed = 0
if not there or schedule[PAUSED] == 1 then changed = redis.call('ZREM', KEYS[4], name) end
if schedule and schedule[REVISION] > tonumber(redis.call('HGET', KEYS[2], 'revision') or 0) then
  redis.call('HSET', KEYS[2], 'revision', schedule[REVISION])
  changed = 1
end
return changed
