-- declare: no edge
-- Adds a schedule, or puts it in the place of the one of its name; the same changes nothing.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     1 name  2 when it ticks, packed  3 envelope  4 options, packed  5 owner
--          6 '1' to keep it when its owner declares it no more
--          7 '1' to skip ticks while the last task has not ended
--          8 tick to expect in ms, 0 for none
-- RETURNS  1, 0 when it was there like that, or is there in a newer format
-- INCLUDE  record schedule
local name = ARGV[1]
local old, newer = load_schedule(KEYS[3], name)
if newer then return 0 end
local new = {ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), 0, 0, '', 0}
local same_times, same = false, false
if old then
  same_times = old[WHEN] == new[WHEN] and old[OVERLAP_SKIP] == new[OVERLAP_SKIP]
  same = same_times and old[TEMPLATE] == new[TEMPLATE]
    and old[TEMPLATE_OPTIONS] == new[TEMPLATE_OPTIONS]
  if same and old[OWNER] == new[OWNER] and old[KEEP] == new[KEEP] then return 0 end
  for n = PAUSED, REVISION do new[n] = old[n] end
end
local expected = 0
if not same_times then expected = expect(KEYS[4], name, new, tonumber(ARGV[8])) end
if not same then
  new[REVISION] = redis.call('HINCRBY', KEYS[2], 'revision', 1)
  if expected > 0 then notify('tick') end
end
save_schedule(KEYS[3], name, new)
return 1
