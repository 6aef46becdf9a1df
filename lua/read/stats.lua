-- stats: no edge
-- Counts the tasks in each state and reads the totals, all at one instant.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time
-- RETURNS  how many records; how many tasks are scheduled, blocked, grouped, pending, active,
--          retry, completed, dead and cancelled; how many can expire; for how many ms the
--          oldest task at the head of a priority, or of one of the first limit keys, has been
--          due, -1 for none; paused, seq, sent, turn,
--          max_pending, fair, history, noted, target_latency_ms, target_failures_ppm,
--          enqueued, completed, failed, dead, purged, deleted, batched; if paused, also since
--          when in ms, 0 for unknown, and the note
-- INCLUDE  clock keys record oldest_due
local now = clock(ARGV[1])
local reply = {redis.call('HLEN', records)}
local indexes = {
  scheduled, blocked, grouped, pending, active, retry, completed, dead, cancelled,
}
for _, index in ipairs(indexes) do
  reply[#reply + 1] = redis.call('ZCARD', index)
end
reply[1 + PENDING] = reply[1 + PENDING] + redis.call('ZCARD', keyed)
reply[#reply + 1] = redis.call('ZCARD', expiring)

local oldest = oldest_due(pending, keyed, lanes, shut)
reply[#reply + 1] = oldest and math.max(0, now - oldest) or -1
local totals = {'paused', 'seq', 'sent', 'turn', 'max_pending', 'fair', 'history', 'noted',
  'target_latency_ms', 'target_failures_ppm',
  'enqueued', 'completed', 'failed', 'dead', 'purged', 'deleted', 'batched'}
for _, total in ipairs(totals) do
  reply[#reply + 1] = tonumber(redis.call('HGET', meta, total) or 0)
end
if redis.call('HGET', meta, 'paused') == '1' then
  reply[#reply + 1] = tonumber(redis.call('HGET', meta, 'paused_since') or 0)
  reply[#reply + 1] = redis.call('HGET', meta, 'pause_note') or ''
end
return reply
