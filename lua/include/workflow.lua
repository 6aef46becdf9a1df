-- The keys of the workflows: the records, each its instant in 16 digits and its data, by id; the
-- order of the records; when each is looked at next; the last number, and all bytes.
local workflows, order, checks, totals = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Removes the record of a workflow; returns how many bytes are left.
local function drop(id)
  local size = redis.call('HSTRLEN', workflows, id)
  redis.call('HDEL', workflows, id)
  redis.call('ZREM', order, id)
  redis.call('ZREM', checks, id)
  return redis.call('HINCRBY', totals, 'bytes', 0 - size)
end
