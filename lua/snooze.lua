-- snooze: active -> scheduled, cancelled
-- Runs each task again after its delay, its attempt uncharged.
-- KEYS     1 records  2 meta  3 active  4 scheduled  5 cancelled  6 expiring
-- ARGV     1 now in ms, '' for the server's time; then four per outcome:
--          id, deliveries, nonce, delay in ms
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock record fence finish requeue
local active, scheduled, cancelled, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    redis.call('ZREM', active, id)
    record[ATTEMPT] = record[ATTEMPT] - 1
    record[SNOOZES] = record[SNOOZES] + 1
    if record[CANCEL] == 1 then
      abandon(id, record, now, cancelled)
    else
      later(id, record, SCHEDULED, now + tonumber(ARGV[i + 3]), scheduled, expiring)
    end
    answer = record[STATE]
  end
  answers[#answers + 1] = answer
end
return answers
