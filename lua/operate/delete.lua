-- delete: pending, scheduled, blocked, grouped, retry, completed, dead, cancelled -> -
-- Removes tasks that no worker holds.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then ids
-- RETURNS  per id the code of the state the task was in, 0 when there was none; the code
--          of `active` means that it is still there, and so does one below 0: what the
--          record of a newer format begins with
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local now = clock(ARGV[1])
local answers, gone = {}, 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local record, newer = load(id)
  answers[#answers + 1] = record and record[STATE] or -(newer or 0)
  if record and record[STATE] ~= ACTIVE then
    leave_index(id, record)
    unlock(id, record)
    drop(id, record)
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
return answers
