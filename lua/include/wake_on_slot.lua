-- Notifies pollers that the queue's own limit of running tasks may allow another one now.
local function wake_on_slot(slot_freed)
  if slot_freed and redis.call('HEXISTS', limits, '') == 1 then notify('wake') end
end
