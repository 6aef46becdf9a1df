-- Ways back into an index of waiting tasks; listeners are told what they could miss otherwise.
local function mortal(id, record, expiring)
  if record[EXPIRES] > 0 then redis.call('ZADD', expiring, record[EXPIRES], id) end
end

-- Into pending, at the place the record names.
local function ready(id, record, pending, expiring)
  record[STATE] = PENDING
  save(id, record)
  if redis.call('EXISTS', pending) == 0 then tell('wake') end
  redis.call('ZADD', pending, place(record), id)
  mortal(id, record, expiring)
end

-- Into scheduled or retry, due at `run`.
local function later(id, record, state, run, index, expiring)
  record[STATE], record[RUN] = state, run
  save(id, record)
  redis.call('ZADD', index, run, id)
  if redis.call('ZRANK', index, id) == 0 then tell('due') end
  mortal(id, record, expiring)
end
