-- unblock: blocked -> pending, scheduled, dead
-- Tells those that wait for tasks that have ended, where a step left some.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many were told; 0 when some are left, -1 when none is
-- INCLUDE  clock keys record history lanes places ends ripple
local now = clock(ARGV[1])
for _, raw in ipairs(redis.call('ZRANGE', endings, 0, 99)) do
  redis.call('ZREM', endings, raw)
  local ending = cmsgpack.unpack(raw)
  ended[#ended + 1] = {ending[2], ending[3], ending[4]}
end
local told = ripple(now, tonumber(ARGV[2]))
conclude(now)
return {told, redis.call('EXISTS', endings) - 1 < 0 and -1 or 0}
