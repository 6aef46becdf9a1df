-- due_workflows: no edge
-- Reads records of workflows that are to be looked at, and puts off each.
-- KEYS     1 workflows  2 order  3 checks  4 totals
-- ARGV     1 now in ms, '' for the server's time  2 how many at most
-- RETURNS  per record: the workflow's id, its number, the record
-- INCLUDE  clock workflow
local now, answers, bytes = clock(ARGV[1]), {}, 0
local due = redis.call('ZRANGEBYSCORE', checks, '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
  local record = redis.call('HGET', workflows, id)
  answers[#answers + 1] = {id, tonumber(redis.call('ZSCORE', order, id)), record}
  local age = now - tonumber(record:sub(1, CREATED_DIGITS))
  local again = math.max(CHECK_LEAST_MS, math.min(CHECK_MOST_MS, math.floor(age / 4)))
  redis.call('ZADD', checks, now + again, id)
  bytes = bytes + #record
  if bytes >= WORKFLOWS_READ_BYTES then break end
end
return answers
