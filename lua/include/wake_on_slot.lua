-- Notifies pollers that the queue's own limit of running tasks may allow another one now.
local function wake_on_slot(slot_freed)
  local limit = slot_freed and limit_of('')
  if limit and limit[LIMIT_CONCURRENCY] > 0 then notify('wake') end
end
