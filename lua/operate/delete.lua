-- delete: pending, scheduled, blocked, grouped, retry, completed, dead, cancelled -> -
-- Removes tasks that no worker holds.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the code of the state in which a task must be,
--          '' for any  3 the latest instant in ms at which it entered it; then ids
-- RETURNS  per id the code of the state the task was in, 0 for no such task. A task stays if the
--          answer is the code of `active`, or negative: for a task of a newer format the first
--          field of its record, negated. Then, if any task died because it needs one of them, an
--          array of the id, attempt and reason of each
-- INCLUDE  clock keys record history lanes indexes terminal propagate entered
local now = clock(ARGV[1])
local answers, gone = {}, 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local record, newer = load(id)
  if record and not is_still(record, ARGV[2], ARGV[3]) then record = nil end
  answers[#answers + 1] = record and record[STATE] or -(newer or 0)
  if record and record[STATE] ~= ACTIVE then
    leave_index(id, record)
    unlock(id, record)
    remove_task(id, record)
    record_entry(now, 'delete', id, record[STATE], 0, record)
    if record[STATE] < COMPLETED then
      announce(id, record, 0)
    elseif marked(record, HAS_WAITERS) then
      notify('done:' .. id)
    end
    gone = gone + 1
  end
end
if gone > 0 then count('deleted', gone) end
conclude(now)
if #died > 0 then answers[#answers + 1] = died end
return answers
