-- purge: completed, cancelled, dead -> -
-- Drops finished tasks after their retention, dead ones too old or too many, lapsed keys.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit of each state, 1 to 1000
--          3 retention of dead tasks in ms  4 how many dead tasks are kept
-- RETURNS  how many went; ms until the next may go, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now, limit, span = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local gone = 0
local function drop_all(index, ids, found)
  if #ids == 0 then return end
  for i, id in ipairs(ids) do
    local record = found[i]
    if record and (record[RELATIONS] or marked(record, HAS_STEPS)) then drop_relations(id) end
    if record then record_entry(now, 'purge', id, record[STATE], 0, record) end
  end
  for _, key in ipairs({records, payloads, results, progress}) do
    redis.call('HDEL', key, unpack(ids))
  end
  redis.call('ZREM', index, unpack(ids))
  gone = gone + #ids
end
drop_all(completed, due_tasks(completed, now, limit))
drop_all(cancelled, due_tasks(cancelled, now, limit))
local old = redis.call('ZCOUNT', dead, '-inf', now - span)
local many = redis.call('ZCARD', dead) - tonumber(ARGV[4])
local quota = math.min(limit, math.max(old, many))
if quota > 0 then drop_all(dead, readable(dead, redis.call('ZRANGE', dead, 0, quota - 1))) end
if gone > 0 then count('purged', gone) end
if last_entry then redis.call('HSET', meta, 'noted', last_entry) end

local lapsed = due(locks, now, limit)
if #lapsed > 0 then
  redis.call('HDEL', unique, unpack(lapsed))
  redis.call('ZREM', locks, unpack(lapsed))
end
redis.call('ZREMRANGEBYSCORE', rates, '-inf', now * 1000)

local left, corpse = next_in(now, {completed, cancelled, locks}), next_in(now - span, {dead})
if left < 0 or (corpse >= 0 and corpse < left) then left = corpse end
return {gone, left}
