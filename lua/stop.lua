-- stop: active -> cancelled
-- Cancels each task whose handler was stopped; one that nobody asked to cancel stays active.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then three per lease:
--          id, deliveries, nonce
-- RETURNS  per lease the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes places ends ripple fence freed
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record and record[CANCEL] == 1 then
    leave(id, record)
    record[ATTEMPT] = record[ATTEMPT] - 1
    abandon(id, record, now)
    answer = CANCELLED
    note(now, 'stop', id, ACTIVE, answer, record)
  end
  answers[#answers + 1] = answer
end
freed(true)
conclude(now)
return answers
