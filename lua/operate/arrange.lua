-- arrange: no edge
-- Bounds the pending tasks, sets whether claims go round robin between limit keys, how many
-- entries of its history the queue keeps, and its targets.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 how many tasks may be pending, 0 for
--          any number, '' to leave it  3 '1' when fair, '0' when not, '' to leave it
--          4 how many entries of its history the queue keeps, 0 for none, '' to leave it
--          5 how many ms a pending task may wait  6 how many of a million attempts may fail,
--          both 0 for no target and '' to leave it
-- RETURNS  1
-- INCLUDE  clock keys record history lanes queue_entry
local now, is, size = clock(ARGV[1]), ARGV[3], tonumber(ARGV[4])
if ARGV[2] ~= '' then redis.call('HSET', meta, 'max_pending', ARGV[2]) end
if ARGV[5] ~= '' then redis.call('HSET', meta, 'target_latency_ms', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', meta, 'target_failures_ppm', ARGV[6]) end
if is ~= '' then
  local was = redis.call('HGET', meta, 'fair') or '0'
  redis.call('HSET', meta, 'fair', is)
  -- The scores in `lanes` have another meaning now, so each open lane gets a new one.
  for _, key in ipairs(redis.call('ZRANGE', lanes, 0, -1)) do touched[key] = true end
  touch_lanes(now)
  record_queue_entry(now, 'arrange', '', {tonumber(was)}, {tonumber(is)})
end
if size then
  local was = tonumber(redis.call('HGET', meta, 'history') or 0)
  -- Exactly: entries that were cut must not reappear when the queue keeps more again.
  redis.call('XTRIM', history, 'MAXLEN', math.min(was, size))
  if size == 0 then redis.call('UNLINK', history) end
  redis.call('HSET', meta, 'history', size)
  history_size = size
  if was == 0 then record_queue_entry(now, 'begin', '', {}, {redis.call('HLEN', records)}) end
end
return 1
