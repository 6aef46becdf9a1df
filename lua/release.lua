-- release: active -> pending, cancelled
-- Gives each task back to its old place, its attempt uncharged.
-- KEYS     1 records  2 meta  3 active  4 pending  5 cancelled  6 expiring
-- ARGV     1 now in ms, '' for the server's time; then three per lease:
--          id, deliveries, nonce
-- RETURNS  per lease the code of the state the task is in now, 0 when stale
-- INCLUDE  clock record fence finish requeue
local active, pending, cancelled, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    redis.call('ZREM', active, id)
    record[ATTEMPT] = record[ATTEMPT] - 1
    if record[CANCEL] == 1 then
      abandon(id, record, now, cancelled)
    else
      ready(id, record, pending, expiring)
    end
    answer = record[STATE]
  end
  answers[#answers + 1] = answer
end
return answers
