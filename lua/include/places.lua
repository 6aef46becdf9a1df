-- Where tasks are: ways out of an index, and into those of waiting tasks. Listeners are
-- told what they could miss otherwise.
local index_of = {
  [SCHEDULED] = scheduled, [BLOCKED] = blocked, [PENDING] = pending, [ACTIVE] = active,
  [RETRY] = retry, [COMPLETED] = completed, [DEAD] = dead, [CANCELLED] = cancelled,
}

local seq = nil

local function next_seq()
  if not seq then seq = tonumber(redis.call('HGET', meta, 'seq') or 0) end
  seq = seq + 1
  return seq
end

-- Takes a task out of the index that its state names.
local function leave(id, record)
  local state, ties = record[STATE], record[TIES]
  if state <= PENDING or state == RETRY then
    if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end
  end
  if ties then
    local key = ties[LIMIT_KEY]
    if state == GROUPED then
      redis.call('ZREM', grouped, member(ties[GROUP], record[SEQ], id))
      return
    elseif key ~= '' then
      if state == PENDING then
        redis.call('ZREM', keyed, member(key, place(record), id))
        touched[key] = true
        return
      elseif state == ACTIVE then
        if redis.call('HINCRBY', permits, key, -1) <= 0 then redis.call('HDEL', permits, key) end
        touched[key] = true
      end
    end
  end
  redis.call('ZREM', index_of[state], id)
end

local function mortal(id, record)
  if record[EXPIRES] > 0 then redis.call('ZADD', expiring, record[EXPIRES], id) end
end

local stirred = false

-- Into pending, at the place the record names.
local function ready(id, record)
  record[STATE] = PENDING
  save(id, record)
  local key = record[TIES] and record[TIES][LIMIT_KEY] or ''
  if key ~= '' then
    redis.call('ZADD', keyed, 0, member(key, place(record), id))
    touched[key] = true
  else
    if not stirred and redis.call('EXISTS', pending) == 0 then tell('wake') end
    stirred = true
    redis.call('ZADD', pending, place(record), id)
  end
  mortal(id, record)
end

-- Into scheduled or retry, due at `run`.
local function later(id, record, state, run)
  record[STATE], record[RUN] = state, run
  save(id, record)
  redis.call('ZADD', index_of[state], run, id)
  if redis.call('ZRANK', index_of[state], id) == 0 then tell('due') end
  mortal(id, record)
end

local function block(id, record)
  record[STATE] = BLOCKED
  save(id, record)
  redis.call('ZADD', blocked, record[CREATED], id)
  mortal(id, record)
end

local function group_in(id, record)
  record[STATE], record[SEQ] = GROUPED, next_seq()
  save(id, record)
  redis.call('ZADD', grouped, 0, member(record[TIES][GROUP], record[SEQ], id))
  mortal(id, record)
end
