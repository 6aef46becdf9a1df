-- How tasks come in. Options: {priority, max_retry, max_crashes, retention, delay, run at,
-- expires in, expires at[, ties]}; ties: {queue, unique key, until, ttl, replace, limit key,
-- group, lenient, needs, awaits, dependents}.
local TO, KEY, ENDS, TTL, REPLACE, TO_LIMIT, TO_GROUP, RELAXED = 1, 2, 3, 4, 5, 6, 7, 8
local NEEDS, AWAITS, DEPENDENTS = 9, 10, 11
local TAKEN, REPLACED, FULL, MISSING, WITHHELD, SENT = 1, 2, 3, 4, 5, 6

local function due_at(o, now)
  return o[6] > 0 and o[6] or now + o[5]
end

-- The task in the window of a unique key, or nil.
local function holder_of(key, now)
  local holder = redis.call('HGET', unique, key)
  if not holder then return nil end
  local till = redis.call('ZSCORE', locks, key)
  if till then return tonumber(till) > now and holder or nil end
  -- One whose record was damaged knows nothing of its key, and would never free it.
  local record, newer = load(holder)
  if newer then return holder end
  return record and record[TIES] and record[TIES][UNIQUE] == key and holder or nil
end

local function lock(key, id, till)
  redis.call('HSET', unique, key, id)
  if till > 0 then redis.call('ZADD', locks, till, key) else redis.call('ZREM', locks, key) end
end

-- The record of a holder that was never claimed, and that a task can replace, or nil. What
-- waits, or is waited for, under its own id cannot go by that of another.
local function replaceable(holder, ties)
  if ties[REPLACE] == 0 or ties[TO_GROUP] ~= '' then return nil end
  if #ties[NEEDS] + #ties[AWAITS] + #ties[DEPENDENTS] > 0 then return nil end
  local record = load(holder)
  -- By time alone a key may outlive its holder, whose id is another task's then.
  if not record or not record[TIES] or record[TIES][UNIQUE] ~= ties[KEY] then return nil end
  if record[STATE] ~= SCHEDULED and record[STATE] ~= PENDING then return nil end
  return record[DELIVERIES] == 0 and record or nil
end

local most = 0

-- Reads how many tasks may be pending.
local function read_bound()
  most = tonumber(redis.call('HGET', meta, 'max_pending') or 0)
end

local function comes_pending(o, now)
  local ties = o[9]
  if due_at(o, now) > now then return false end
  return not ties or (#ties[NEEDS] + #ties[AWAITS] == 0 and ties[TO_GROUP] == '')
end

-- Why a task that a caller hands in is refused, or nil; 0 for an id that exists. Before it
-- are the tasks of a whole that are in front of it: {ids, keys, ready}; nil without a whole.
local function refusal(id, o, now, before)
  local ties = o[9]
  if ties and ties[TO] ~= '' then return nil end
  if redis.call('HEXISTS', records, id) == 1 or before and before.ids[id] then return 0 end
  if ties and ties[KEY] ~= '' then
    local holder = holder_of(ties[KEY], now) or before and before.keys[ties[KEY]]
    if holder then
      if not before and replaceable(holder, ties) then return nil end
      return {TAKEN, holder, 0}
    end
  end
  if most > 0 and comes_pending(o, now) then
    local waiting = redis.call('ZCARD', pending) + redis.call('ZCARD', keyed)
    if waiting + (before and before.ready or 0) >= most then return {FULL, '', 0} end
  end
  for _, ref in ipairs(ties and ties[NEEDS] or {}) do
    local queue, own = split(ref)
    if not queue and not (before and before.ids[own] == 'needed') then
      local state = state_of(own)
      if not state or state == GROUPED then return {MISSING, ref, 0} end
    end
  end
  return nil
end

-- Puts a task of a whole in front of the next.
local function go_before(id, o, now, before)
  local ties = o[9]
  if ties and ties[TO] ~= '' then return end
  before.ids[id] = ties and ties[TO_GROUP] ~= '' and 'grouped' or 'needed'
  if ties and ties[KEY] ~= '' and not before.keys[ties[KEY]] then before.keys[ties[KEY]] = id end
  if comes_pending(o, now) then before.ready = before.ready + 1 end
end

local added = 0

local function expiry(o, now)
  if o[8] > 0 then return o[8] end
  return o[7] > 0 and now + o[7] or 0
end

-- Puts a task in the place of the holder of its unique key.
local function replace(id, record, envelope, o, now)
  local ties, run, was = o[9], math.max(due_at(o, now), now), record[STATE]
  leave(id, record)
  if record[ENVELOPE] == '' then redis.call('HDEL', payloads, id) end
  give(id, record, envelope)
  record[PRIORITY], record[MAX_RETRY] = o[1], o[2]
  record[MAX_CRASHES], record[RETENTION] = o[3], o[4]
  record[RUN], record[EXPIRES] = run, expiry(o, now)
  record[TIES][UNTIL], record[TIES][LIMIT_KEY] = ties[ENDS], ties[TO_LIMIT]
  local till = ties[TTL] > 0 and now + ties[TTL] or 0
  lock(ties[KEY], id, till)
  if run > now then
    later(id, record, SCHEDULED, run)
  else
    if was == SCHEDULED then record[SEQ] = next_seq() end
    ready(id, record)
  end
  note(now, 'enqueue', id, was, record[STATE], record, till)
  return {REPLACED, id, record[STATE]}
end

-- Adds a task that nothing refuses but its unique key, or that its id exists (0). An untied one
-- that is `lazily` made pending is so by the next `write_together`.
local function take(id, envelope, options, o, now, lazily)
  local ties = o[9]
  if ties and ties[TO] ~= '' then
    post(now, ties[TO], TASK, id, envelope, options)
    return {SENT, '', 0}
  end
  if ties and ties[KEY] ~= '' then
    local holder = holder_of(ties[KEY], now)
    if holder then
      local record = replaceable(holder, ties)
      if record then return replace(holder, record, envelope, o, now) end
      return {TAKEN, holder, 0}
    end
  end
  if lately[id] or redis.call('HEXISTS', records, id) == 1 then return 0 end
  local run = math.max(due_at(o, now), now)
  local record = {0, o[1], o[2], o[3], o[4], now, run, expiry(o, now),
                  0, '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
  give(id, record, envelope)
  added = added + 1
  if not ties then
    if run > now then
      later(id, record, SCHEDULED, run)
    else
      record[SEQ] = next_seq()
      ready(id, record, lazily)
    end
    note(now, 'enqueue', id, 0, record[STATE], record)
    return record[STATE]
  end
  local waits, holds = #ties[NEEDS] + #ties[AWAITS], ties[KEY] ~= '' and 1 or 0
  record[TIES] = {ties[KEY], ties[ENDS], holds, ties[TO_LIMIT], ties[TO_GROUP], waits,
                  ties[RELAXED]}
  if #ties[DEPENDENTS] > 0 then mark(record, FOLLOWED) end
  local till = holds == 1 and ties[TTL] > 0 and now + ties[TTL] or 0
  if holds == 1 then lock(ties[KEY], id, till) end
  if waits > 0 then
    block(id, record)
  elseif ties[TO_GROUP] ~= '' then
    group_in(id, record)
  elseif run > now then
    later(id, record, SCHEDULED, run)
  else
    record[SEQ] = next_seq()
    ready(id, record)
  end
  note(now, 'enqueue', id, 0, record[STATE], record, till, ties[NEEDS], ties[AWAITS])
  tie(edges, id, ties[DEPENDENTS])
  tie(needs, id, ties[AWAITS])
  if #ties[NEEDS] == 0 then return record[STATE] end
  tie(needs, id, ties[NEEDS])
  for _, ref in ipairs(ties[NEEDS]) do look(id, ref, now) end
  return load(id)[STATE]
end

-- Adds a task that was promised to be enqueued: only a holder of its key refuses it.
local function admit(id, envelope, options, now)
  local o = cmsgpack.unpack(options)
  local ties = o[9]
  if (not ties or ties[TO] == '') and redis.call('HEXISTS', records, id) == 1 then
    for _, dependent in ipairs(ties and ties[DEPENDENTS] or {}) do follow(id, dependent, now) end
    return
  end
  local answer = take(id, envelope, options, o, now)
  if type(answer) == 'table' and answer[1] ~= SENT then
    for _, dependent in ipairs(ties[DEPENDENTS]) do tell_dependent(id, dependent, 0, '', now) end
  end
end

local function count_added()
  if added > 0 then count('enqueued', added) end
end
