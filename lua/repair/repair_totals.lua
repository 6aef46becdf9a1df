-- repair_totals: no edge
-- Sets a counter of the queue to what its tasks or its messages imply.
-- KEYS     all
-- ARGV     1 'enqueued', 'seq' or 'sent'  2 id of the task whose `seq` is above the counter, or ''
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  keys record
local what = ARGV[1]
local known, right = tonumber(redis.call('HGET', meta, what) or 0), nil

-- Counts the tasks that the indexes list.
local function listed()
  local indexes = {
    scheduled, blocked, grouped, pending, keyed, active, retry, completed, dead, cancelled,
  }
  local sum = 0
  for _, index in ipairs(indexes) do sum = sum + redis.call('ZCARD', index) end
  return sum
end

if what == 'enqueued' then
  right = redis.call('HLEN', records)
  -- A task that has lost its record has one again once a claim buries it.
  if right ~= listed() then return 0 end
  for _, gone in ipairs(redis.call('HMGET', meta, 'purged', 'deleted', 'batched')) do
    right = right + (gone or 0)
  end
elseif what == 'seq' then
  local record = load(ARGV[2])
  right = math.max(known, record and record[SEQ] or 0)
else
  local last = redis.call('ZREVRANGE', outbox, 0, 0, 'WITHSCORES')[2]
  right = math.max(known, tonumber(last or 0))
end
if right == known then return 0 end
redis.call('HSET', meta, what, string.format('%.0f', right))
return 1
