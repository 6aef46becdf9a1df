-- keep_workflow: no edge
-- Writes the record of a workflow, unless there is one; drops the oldest if there are too many.
-- KEYS     1 workflows  2 order  3 checks  4 totals
-- ARGV     1 now in ms, '' for the server's time  2 the workflow's id  3 its data
-- RETURNS  when the record was written, in ms
-- INCLUDE  clock workflow
local now, id = clock(ARGV[1]), ARGV[2]
redis.call('ZADD', checks, now + CHECK_FIRST_MS, id)
local known = redis.call('HGET', workflows, id)
if known then return tonumber(known:sub(1, CREATED_DIGITS)) end
local number = redis.call('HINCRBY', totals, 'last', 1)
local record = string.format('%016.0f', now) .. ARGV[3]
redis.call('HSET', workflows, id, record)
redis.call('ZADD', order, number, id)
local bytes, size = redis.call('HINCRBY', totals, 'bytes', #record), redis.call('ZCARD', order)
for _ = 1, DROPPED_AT_ONCE do
  if size == 1 or size <= WORKFLOWS_MAX and bytes <= WORKFLOWS_MAX_BYTES then break end
  bytes = drop(redis.call('ZRANGE', order, 0, 0)[1])
  size = size - 1
end
return now
