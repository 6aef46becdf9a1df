-- Writes an entry of the queue itself: a setting's key, its value before and after. Stores the
-- number of the last entry, as `conclude` does.
local function record_queue_entry(now, transition, key, before, after)
  record_entry(now, transition, nil, 0, 0, {key, before, after})
  if last_entry then redis.call('HSET', meta, 'noted', last_entry) end
end
