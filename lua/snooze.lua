-- snooze: active -> scheduled, cancelled
-- Runs each task again after its delay, its attempt uncharged.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then four per outcome:
--          id, deliveries, nonce, delay in ms
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes indexes terminal propagate fence wake_on_slot
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    leave_index(id, record)
    record[ATTEMPT] = record[ATTEMPT] - 1
    record[SNOOZES] = record[SNOOZES] + 1
    if record[CANCEL] == 1 then
      make_cancelled(id, record, now)
    else
      later(id, record, SCHEDULED, now + tonumber(ARGV[i + 3]))
    end
    answer = record[STATE]
    record_entry(now, 'snooze', id, ACTIVE, answer, record)
  end
  answers[#answers + 1] = answer
end
wake_on_slot(true)
conclude(now)
return answers
