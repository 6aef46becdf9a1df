-- Moves tasks to a terminal state, or removes them. The caller has taken the task out of its index.
-- `ended` has the tasks with dependents: {id, code of the state it ended in (0: gone), result}.
local ended = {}

local function announce(id, record, ended_as, result)
  if marked(record, HAS_WAITERS) then notify('done:' .. id) end
  if marked(record, HAS_DEPENDENTS) then ended[#ended + 1] = {id, ended_as, result or ''} end
end

-- Frees the unique key that a task holds.
local function unlock(id, record)
  local relations = record[RELATIONS]
  -- Saves a read: a task that does not own the key would find another holder, or none.
  if not relations or relations[OWNS_UNIQUE_KEY] == 0 then return end
  relations[OWNS_UNIQUE_KEY] = 0
  if redis.call('HGET', unique, relations[UNIQUE]) == id then
    redis.call('HDEL', unique, relations[UNIQUE])
    redis.call('ZREM', locks, relations[UNIQUE])
  end
end

local function unlock_unless_by_time(id, record)
  if record[RELATIONS] and record[RELATIONS][UNTIL] ~= UNTIL_EXPIRED then unlock(id, record) end
end

local function bury(id, record, reason, now)
  record[STATE], record[ERROR], record[FINISHED] = DEAD, reason, now
  unlock_unless_by_time(id, record)
  save(id, record)
  redis.call('ZADD', dead, now, id)
  count('dead', 1)
  announce(id, record, DEAD)
end

local function make_cancelled(id, record, now)
  record[STATE], record[FINISHED] = CANCELLED, now
  unlock(id, record)
  save(id, record)
  redis.call('ZADD', cancelled, now + math.max(record[RETENTION], CANCELLED_GRACE_MS), id)
  announce(id, record, CANCELLED)
end

-- Removes the inputs, steps and dependencies of a task.
local function remove_relations(id)
  redis.call('HDEL', inputs, id)
  redis.call('HDEL', steps, id)
  redis.call('ZREMRANGEBYLEX', needs, '[' .. prefix(id), '(' .. prefix(id) .. '\255')
end

-- Removes all that is stored of a task.
local function remove_task(id, record)
  redis.call('HDEL', records, id)
  if record[ENVELOPE] == '' then redis.call('HDEL', payloads, id) end
  redis.call('HDEL', results, id)
  redis.call('HDEL', progress, id)
  if record[DELIVERIES] > 0 then redis.call('HDEL', attempts, id) end
  if record[RELATIONS] or marked(record, HAS_STEPS) then remove_relations(id) end
end
