-- trigger: no edge
-- Makes one task of a schedule now, whatever ticks it expects; unless an enqueue is refused.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 name  3 id  4 envelope  5 options
-- RETURNS  the answer of an enqueue; nothing when there is no such schedule
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake schedule created_id
local now, name, id = clock(ARGV[1]), ARGV[2], ARGV[3]
local schedule = load_schedule(schedules, name)
if not schedule then return {} end
local o = cmsgpack.unpack(ARGV[5])
read_bound()
local answer = rejection(id, o, now) or insert(id, ARGV[4], ARGV[5], o, now)
local task = created_id(id, answer)
if task then
  schedule[LAST_ID] = task
  save_schedule(schedules, name, schedule)
end
count_added()
conclude(now)
return {answer}
