-- Tells pollers that the queue's own limit of running tasks may allow another one now.
local function freed(some)
  if some and redis.call('HEXISTS', limits, '') == 1 then tell('wake') end
end
