-- arrange: no edge
-- Bounds the pending tasks, sets whether claims go round robin between limit keys, and how
-- much of its history the queue keeps.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 how many may be pending, 0 for any
--          number, '' to leave it  3 '1' when fair, '0' when not, '' to leave it
--          4 how many entries of its history are kept, 0 for none, '' to leave it
-- RETURNS  1
-- INCLUDE  clock keys record history lanes queue_entry
local now, is, size = clock(ARGV[1]), ARGV[3], tonumber(ARGV[4])
if ARGV[2] ~= '' then redis.call('HSET', meta, 'max_pending', ARGV[2]) end
if is ~= '' then
  local was = redis.call('HGET', meta, 'fair') or '0'
  redis.call('HSET', meta, 'fair', is)
  -- The places of the open lanes mean another thing now: as many as there are keys that wait.
  for _, key in ipairs(redis.call('ZRANGE', lanes, 0, -1)) do touched[key] = true end
  touch_lanes(now)
  record_queue_entry(now, 'arrange', '', {tonumber(was)}, {tonumber(is)})
end
if size then
  local was = tonumber(redis.call('HGET', meta, 'history') or 0)
  -- To the last one: what was cut may not come back when more are kept again.
  redis.call('XTRIM', history, 'MAXLEN', math.min(was, size))
  if size == 0 then redis.call('UNLINK', history) end
  redis.call('HSET', meta, 'history', size)
  kept = size
  if was == 0 then record_queue_entry(now, 'begin', '', {}, {redis.call('HLEN', records)}) end
end
return 1
