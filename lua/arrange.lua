-- arrange: no edge
-- Bounds the pending tasks, and sets whether claims go round robin between limit keys.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 how many may be pending, 0 for any
--          number, '' to leave it  3 '1' when fair, '0' when not, '' to leave it
-- RETURNS  1
-- INCLUDE  clock keys record lanes
if ARGV[2] ~= '' then redis.call('HSET', meta, 'max_pending', ARGV[2]) end
if ARGV[3] ~= '' then
  redis.call('HSET', meta, 'fair', ARGV[3])
  -- The places of the open lanes mean another thing now: as many as there are keys that wait.
  for _, key in ipairs(redis.call('ZRANGE', lanes, 0, -1)) do touched[key] = true end
  touch_lanes(clock(ARGV[1]))
end
return 1
