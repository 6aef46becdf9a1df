-- suspend: no edge
-- Lets a schedule tick no more, or again.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     1 name  2 '1' to pause, '0' to resume  3 tick to expect in ms, 0 for none
-- RETURNS  1, 0 when there is no such schedule
-- INCLUDE  record schedule
local name, schedule = ARGV[1], load_schedule(KEYS[3], ARGV[1])
if not schedule then return 0 end
if schedule[PAUSED] ~= tonumber(ARGV[2]) then
  schedule[PAUSED] = tonumber(ARGV[2])
  save_schedule(KEYS[3], name, schedule)
  if expect(KEYS[4], name, schedule, tonumber(ARGV[3])) > 0 then notify('tick') end
end
return 1
