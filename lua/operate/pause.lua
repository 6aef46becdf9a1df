-- pause: no edge
-- Pauses a queue with a note, so that claims find nothing, or resumes it.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 '1' to pause, '0' to resume
--          3 the note of a pause
-- RETURNS  1
-- INCLUDE  clock keys record history queue_entry
local now = clock(ARGV[1])
local was, is = redis.call('HGET', meta, 'paused') or '0', ARGV[2]
redis.call('HSET', meta, 'paused', is)
if is == '0' then
  redis.call('HDEL', meta, 'pause_note', 'paused_since')
  notify('wake')
else
  redis.call('HSET', meta, 'pause_note', ARGV[3])
  -- An older version that resumes the queue leaves its `paused_since`.
  if was ~= '1' then redis.call('HSET', meta, 'paused_since', string.format('%.0f', now)) end
end
local transition = is == '1' and 'pause' or 'resume'
record_queue_entry(now, transition, '', {tonumber(was)}, {tonumber(is)})
return 1
