-- stop: active -> cancelled
-- Cancels each task whose handler was stopped; one that nobody asked to cancel stays active.
-- KEYS     1 records  2 meta  3 active  4 cancelled
-- ARGV     1 now in ms, '' for the server's time; then three per lease:
--          id, deliveries, nonce
-- RETURNS  per lease the code of the state the task is in now, 0 when stale
-- INCLUDE  clock record fence finish
local active, cancelled = KEYS[3], KEYS[4]
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record and record[CANCEL] == 1 then
    redis.call('ZREM', active, id)
    record[ATTEMPT] = record[ATTEMPT] - 1
    abandon(id, record, now, cancelled)
    answer = CANCELLED
  end
  answers[#answers + 1] = answer
end
return answers
