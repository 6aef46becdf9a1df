-- unblock: blocked -> pending, scheduled, dead
-- Tells those that wait for tasks that have ended, where a step left some.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many were told; 0 when some are left, -1 when none is
-- INCLUDE  clock keys record history lanes places ends ripple
local now, single = clock(ARGV[1]), 0
quiet = true
for _, raw in ipairs(redis.call('ZRANGE', endings, 0, 99)) do
  redis.call('ZREM', endings, raw)
  local ending = cmsgpack.unpack(raw)
  if ending[5] then
    take_up(ending, now)
    single = single + 1
  else
    ended[#ended + 1] = {ending[2], ending[3], ending[4]}
  end
end
single = single - held_over
quiet = false
local told = single + ripple(now, tonumber(ARGV[2]))
conclude(now)
-- What only a newer version can tell is no reason to come back at once.
if told == 0 and held_over > 0 then return {0, -1} end
return {told, redis.call('EXISTS', endings) - 1 < 0 and -1 or 0}
