-- purge: completed, cancelled, dead -> -
-- Drops finished tasks after their retention, and dead ones too old or too many.
-- KEYS     1 records  2 meta  3 payloads  4 completed  5 cancelled  6 dead  7 results
--          8 progress
-- ARGV     1 now in ms, '' for the server's time  2 limit of each state, 1 to 1000
--          3 retention of dead tasks in ms  4 how many dead tasks are kept
-- RETURNS  how many went; ms until the next may go, -1 for none
-- INCLUDE  clock record due
local payloads, completed, cancelled, dead = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local results, progress = KEYS[7], KEYS[8]
local now, limit, span = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local gone = 0
local function drop(index, ids)
  if #ids == 0 then return end
  for _, key in ipairs({KEYS[1], payloads, results, progress}) do
    redis.call('HDEL', key, unpack(ids))
  end
  redis.call('ZREM', index, unpack(ids))
  gone = gone + #ids
end
drop(completed, due(completed, now, limit))
drop(cancelled, due(cancelled, now, limit))
local old = redis.call('ZCOUNT', dead, '-inf', now - span)
local many = redis.call('ZCARD', dead) - tonumber(ARGV[4])
local quota = math.min(limit, math.max(old, many))
if quota > 0 then drop(dead, redis.call('ZRANGE', dead, 0, quota - 1)) end
if gone > 0 then count('purged', gone) end
local left, corpse = next_in(now, {completed, cancelled}), next_in(now - span, {dead})
if left < 0 or (corpse >= 0 and corpse < left) then left = corpse end
return {gone, left}
