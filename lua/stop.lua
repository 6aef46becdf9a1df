-- stop: active -> cancelled
-- Cancels each task whose handler was stopped; one that nobody asked to cancel stays active.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then three per lease:
--          id, deliveries, nonce
-- RETURNS  per lease the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes indexes terminal propagate fence wake_on_slot
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record and record[CANCEL] == 1 then
    leave_index(id, record)
    record[ATTEMPT] = record[ATTEMPT] - 1
    make_cancelled(id, record, now)
    answer = CANCELLED
    record_entry(now, 'stop', id, ACTIVE, answer, record)
  end
  answers[#answers + 1] = answer
end
wake_on_slot(true)
conclude(now)
return answers
