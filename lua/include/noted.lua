-- Writes a step of the queue itself: a setting's key, what it was and what it is. Keeps the
-- number of the last step, as `conclude` does.
local function note_queue(now, event, key, before, after)
  note(now, event, nil, 0, 0, {key, before, after})
  if step then redis.call('HSET', meta, 'noted', step) end
end
