-- remove_queue: no edge
-- Removes all that is stored of a queue that is empty: its settings, counters and history.
-- KEYS     all, then those with statistics
-- ARGV     1 now in ms, '' for the server's time  2 '1' to remove it, '0' only to look;
--          then two per queue that it has received messages of, as an earlier answer said:
--          name, number of the last one
-- RETURNS  1 if it was removed, else 0; how many tasks, schedules, messages, endings and open
--          unique keys there are; then the queues that it has received messages of: name and
--          number of the last one in turn
-- INCLUDE  clock keys
local now = clock(ARGV[1])
local marks, known = redis.call('HGETALL', received), true
for i = 3, #ARGV, 2 do
  if redis.call('HGET', received, ARGV[i]) ~= ARGV[i + 1] then known = false end
end
known = known and #marks == #ARGV - 2
local messages = redis.call('ZCARD', outbox)
-- The number of a message that was just sent must not be given again.
local sent = tonumber(redis.call('HGET', meta, 'sent') or 0)
if messages == 0 and sent >= now * SENT_PER_MS then messages = 1 end
local answer = {
  0, redis.call('HLEN', records), redis.call('HLEN', schedules), messages,
  redis.call('ZCARD', endings), redis.call('ZCOUNT', locks, '(' .. now, '+inf'),
}
local removed = ARGV[2] == '1' and (#marks == 0 or known)
for n = 2, #answer do removed = removed and answer[n] == 0 end
for _, mark in ipairs(marks) do answer[#answer + 1] = mark end
if removed then
  answer[1] = 1
  redis.call('UNLINK', unpack(KEYS))
end
return answer
