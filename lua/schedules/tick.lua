-- tick: no edge
-- Makes the tasks of a schedule's ticks that are due, and expects the next one from now on.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 name  3 tick that is expected in ms
--          4 revision of the schedule  5 tick to expect then in ms, 0 for none; then four per tick:
--          its instant in ms, id, envelope, options of its task
-- RETURNS  how many tasks it made; -1 when the schedule is not the one that was read, or
--          the ticks are not due, in order and new
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake schedule created_id
local now, name, expected, following = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local schedule = load_schedule(schedules, name)
if not schedule or schedule[REVISION] ~= tonumber(ARGV[4]) then return -1 end
if tonumber(redis.call('ZSCORE', ticks, name) or 0) ~= expected then return -1 end
if expected == 0 or expected > now then return -1 end
local last = expected - 1
for i = 6, #ARGV, 4 do
  local at = tonumber(ARGV[i])
  if at <= last or at > now then return -1 end
  last = at
end
if following > 0 and following <= math.max(expected, last) then return -1 end

local fired = 0
for i = 6, #ARGV, 4 do
  local id, options = ARGV[i + 1], ARGV[i + 3]
  local before = schedule[OVERLAP_SKIP] == 1 and state_of(schedule[LAST_ID])
  if not before or before >= COMPLETED then
    local o, answer = cmsgpack.unpack(options), 0
    local relations = o[NEW_RELATIONS]
    if redis.call('HEXISTS', records, id) == 0 or (relations and relations[NEW_QUEUE] ~= '') then
      answer = insert(id, ARGV[i + 2], options, o, now)
    end
    local task = created_id(id, answer)
    if task then
      schedule[LAST], schedule[LAST_ID] = tonumber(ARGV[i]), task
      fired = fired + 1
    end
  end
end
expect(ticks, name, schedule, following)
save_schedule(schedules, name, schedule)
count_added()
conclude(now)
return fired
