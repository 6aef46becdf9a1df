-- fail: active -> retry, dead, cancelled
-- Charges the attempt: dead when it was the last or the error is final, else retry later.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then six per outcome:
--          id, deliveries, nonce, error, delay in ms, 1 when final
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes indexes terminal propagate fence wake_on_slot
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 6 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    leave_index(id, record)
    count('failed', 1)
    record[ERROR] = ARGV[i + 3]
    if ARGV[i + 5] == '1' or record[ATTEMPT] > record[MAX_RETRY] then
      bury(id, record, ARGV[i + 3], now)
    elseif record[CANCEL] == 1 then
      make_cancelled(id, record, now)
    else
      later(id, record, RETRY, now + tonumber(ARGV[i + 4]))
    end
    answer = record[STATE]
    record_entry(now, 'fail', id, ACTIVE, answer, record)
  end
  answers[#answers + 1] = answer
end
wake_on_slot(true)
conclude(now)
return answers
