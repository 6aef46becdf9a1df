-- mend_meta: no edge
-- Puts a number of the queue to what follows from what is there.
-- KEYS     1 records  2 meta  3 outbox  4 payloads
-- ARGV     1 'enqueued', 'seq' or 'sent'  2 id of the task whose place is not given yet, or ''
-- RETURNS  1 when that changed something, 0 when there was nothing to do
-- INCLUDE  record
local what = ARGV[1]
local known, right = tonumber(redis.call('HGET', KEYS[2], what) or 0), nil
if what == 'enqueued' then
  right = redis.call('HLEN', KEYS[1])
  -- A task that is half gone may come back, when a claim buries it.
  if right ~= redis.call('HLEN', KEYS[4]) then return 0 end
  for _, gone in ipairs(redis.call('HMGET', KEYS[2], 'purged', 'deleted', 'batched')) do
    right = right + (gone or 0)
  end
elseif what == 'seq' then
  local record = load(ARGV[2])
  right = math.max(known, record and record[SEQ] or 0)
else
  local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
  right = math.max(known, tonumber(last or 0))
end
if right == known then return 0 end
redis.call('HSET', KEYS[2], what, string.format('%.0f', right))
return 1
