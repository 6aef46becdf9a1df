-- unblock: blocked -> pending, scheduled, dead
-- Notifies the dependents of ended tasks that an earlier step left over. Tasks that have waited for
-- long ask again about tasks of other queues, because a failover may have lost the answer.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many dependents were notified; 0 when some are left, -1 when none is; then of each
--          task that died because of one that it needs id, attempt and reason
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local now, single = clock(ARGV[1]), 0
quiet = true
for _, raw in ipairs(redis.call('ZRANGE', endings, 0, ENDINGS - 1)) do
  redis.call('ZREM', endings, raw)
  local ending = cmsgpack.unpack(raw)
  if ending[ENDING_DEPENDENT] then
    resume_deferred(ending, now)
    single = single + 1
  else
    ended[#ended + 1] = {ending[ENDING_ID], ending[ENDING_ENDED_AS], ending[ENDING_RESULT]}
  end
end
single = single - deferred
quiet = false
local notified = single + propagate(now, tonumber(ARGV[2]))

-- Subscribes blocked tasks again to those of other queues, some in each step, the oldest first.
local function ask_again()
  local set = redis.call('HMGET', meta, 'ask_at', 'asked', 'asked_needs')
  local ask_at, first, skipped = tonumber(set[1] or 0), tonumber(set[2] or 0), tonumber(set[3] or 0)
  -- A time far ahead is from a clock that was set back, or of another server.
  if now < ask_at and ask_at <= now + ASK_EVERY_MS then return end
  local ids = redis.call('ZRANGEBYSCORE', blocked, '-inf', now - ASK_AFTER_MS, 'LIMIT', first,
    ASKED_AT_ONCE)
  if #ids == 0 and first + skipped == 0 then return end
  local looked, left = 0, ASKED_AT_ONCE
  for _, id in ipairs(ids) do
    local start = prefix(id)
    local found = redis.call('ZRANGEBYLEX', needs, '[' .. start, '(' .. start .. '\255', 'LIMIT',
      skipped, left)
    for _, entry in ipairs(found) do
      local queue, local_id = split(entry:sub(#start + 1))
      if queue then send(now, queue, SUBSCRIBE, id, local_id, 0, ASKS_AGAIN) end
    end
    left, skipped = left - #found, skipped + #found
    if left == 0 then break end
    looked, skipped = looked + 1, 0
  end
  redis.call('HSET', meta, 'ask_at', now + ASK_EVERY_MS,
    'asked', looked == #ids and 0 or first + looked, 'asked_needs', skipped)
end

ask_again()
conclude(now)
-- Dependents that only a newer version can notify are no reason to run again at once.
if notified == 0 and deferred > 0 then return add_died({0, -1}) end
return add_died({notified, redis.call('EXISTS', endings) - 1 < 0 and -1 or 0})
