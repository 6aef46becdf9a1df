-- Writes a step of the queue itself: a setting's key, what it was and what it is. Keeps the
-- number of the last step, as `conclude` does.
local function record_queue_entry(now, transition, key, before, after)
  record_entry(now, transition, nil, 0, 0, {key, before, after})
  if last_entry then redis.call('HSET', meta, 'noted', last_entry) end
end
