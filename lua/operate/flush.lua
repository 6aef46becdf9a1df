-- flush: pending, scheduled, blocked, grouped, retry, active, completed, dead, cancelled -> -
-- Removes every task in one step, the active ones too: their outcomes will be stale. Forgets the
-- kinds of failure.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time
-- RETURNS  how many tasks were removed
-- INCLUDE  clock keys record history lanes indexes terminal propagate queue_entry
local now = clock(ARGV[1])
local gone = redis.call('HLEN', records)
-- First notifies the dependents of tasks that ended before: they ended in another way.
for _, raw in ipairs(redis.call('ZRANGE', endings, 0, -1)) do
  local ending = cmsgpack.unpack(raw)
  if not ending[ENDING_DEPENDENT] then
    ended[#ended + 1] = {ending[ENDING_ID], ending[ENDING_ENDED_AS], ending[ENDING_RESULT]}
  elseif split(ending[ENDING_DEPENDENT]) then
    notify_dependent(ending[ENDING_ID], ending[ENDING_DEPENDENT], 0, '', now)
  end
end
propagate(now, 2147483647)
for _, edge in ipairs(redis.call('ZRANGE', edges, 0, -1)) do
  local size = edge:byte(1)
  local dependent = edge:sub(size + 2)
  if split(dependent) then notify_dependent(edge:sub(2, size + 1), dependent, 0, '', now) end
end
redis.call('UNLINK', records, payloads, results, progress, expiring, pending, scheduled, retry,
  active, completed, dead, cancelled, blocked, grouped, keyed, lanes, shut, permits, turns,
  unique, locks, edges, needs, inputs, endings, steps, groups, rules,
  attempts, kinds, sightings)
if gone > 0 then count('deleted', gone) end
record_queue_entry(now, 'flush', '', {}, {gone})
conclude(now)
notify('flush')
return gone
