-- unblock: blocked -> pending, scheduled, dead
-- Notifies the dependents of tasks that have ended, where a step left some.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many were notified; 0 when some are left, -1 when none is
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local now, single = clock(ARGV[1]), 0
quiet = true
for _, raw in ipairs(redis.call('ZRANGE', endings, 0, ENDINGS - 1)) do
  redis.call('ZREM', endings, raw)
  local ending = cmsgpack.unpack(raw)
  if ending[ENDING_DEPENDENT] then
    resume_deferred(ending, now)
    single = single + 1
  else
    ended[#ended + 1] = {ending[ENDING_ID], ending[ENDING_ENDED_AS], ending[ENDING_RESULT]}
  end
end
single = single - deferred
quiet = false
local notified = single + propagate(now, tonumber(ARGV[2]))
conclude(now)
-- What only a newer version can tell is no reason to come back at once.
if notified == 0 and deferred > 0 then return {0, -1} end
return {notified, redis.call('EXISTS', endings) - 1 < 0 and -1 or 0}
