-- release: active -> pending, cancelled
-- Gives each task back to its old place, its attempt uncharged.
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
  if record then
    leave_index(id, record)
    record[ATTEMPT] = record[ATTEMPT] - 1
    if record[CANCEL] == 1 then
      make_cancelled(id, record, now)
    else
      ready(id, record)
    end
    answer = record[STATE]
    record_entry(now, 'release', id, ACTIVE, answer, record)
  end
  answers[#answers + 1] = answer
end
wake_on_slot(true)
conclude(now)
return answers
