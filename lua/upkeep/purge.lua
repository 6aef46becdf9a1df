-- purge: completed, cancelled, dead -> -
-- Removes tasks after their retention, dead tasks that are too old or too many, and the unique
-- keys whose window is over.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit of each state, 1 to 1000
--          3 retention of dead tasks in ms  4 how many dead tasks to keep
-- RETURNS  how many tasks were removed; ms until the next one may be, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now, limit, dead_retention = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local gone = 0
local function purge_tasks(index, ids, found)
  if #ids == 0 then return end
  for i, id in ipairs(ids) do
    local record = found[i]
    if record and (record[RELATIONS] or marked(record, HAS_STEPS)) then remove_relations(id) end
    if record then record_entry(now, 'purge', id, record[STATE], 0, record) end
  end
  for _, key in ipairs({records, payloads, results, progress, attempts}) do
    redis.call('HDEL', key, unpack(ids))
  end
  redis.call('ZREM', index, unpack(ids))
  gone = gone + #ids
end
purge_tasks(completed, due_tasks(completed, now, limit))
purge_tasks(cancelled, due_tasks(cancelled, now, limit))
local old = redis.call('ZCOUNT', dead, '-inf', now - dead_retention)
local excess = redis.call('ZCARD', dead) - tonumber(ARGV[4])
local quota = math.min(limit, math.max(old, excess))
if quota > 0 then purge_tasks(dead, readable(dead, redis.call('ZRANGE', dead, 0, quota - 1))) end
if gone > 0 then count('purged', gone) end
if last_entry then redis.call('HSET', meta, 'noted', last_entry) end

local lapsed = due(locks, now, limit)
if #lapsed > 0 then
  redis.call('HDEL', unique, unpack(lapsed))
  redis.call('ZREM', locks, unpack(lapsed))
end
redis.call('ZREMRANGEBYSCORE', rates, '-inf', now * 1000)

local left = next_in(now, {completed, cancelled, locks})
local next_dead = next_in(now - dead_retention, {dead})
if left < 0 or (next_dead >= 0 and next_dead < left) then left = next_dead end
return {gone, left}
