-- Tells pollers that the queue's own limit of running tasks may allow another one now.
local function wake_on_slot(some)
  if some and redis.call('HEXISTS', limits, '') == 1 then notify('wake') end
end
