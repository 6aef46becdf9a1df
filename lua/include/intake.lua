-- How tasks come in. Options: {priority, max_retry, max_crashes, retention, delay, run at,
-- expires in, expires at[, ties]}; ties: {queue, unique key, until, ttl, replace, limit key,
-- group, lenient, needs, awaits, dependents}.
local TO, KEY, ENDS, TTL, REPLACE, TO_LIMIT, TO_GROUP, TO_RUN_ON_FAILURE = 1, 2, 3, 4, 5, 6, 7, 8
local NEEDS, NEEDS_LATER, DEPENDENTS = 9, 10, 11
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
  return record and record[RELATIONS] and record[RELATIONS][UNIQUE] == key and holder or nil
end

local function lock(key, id, till)
  redis.call('HSET', unique, key, id)
  if till > 0 then redis.call('ZADD', locks, till, key) else redis.call('ZREM', locks, key) end
end

-- The record of a holder that was never claimed, and that a task can replace, or nil. What
-- waits, or is waited for, under its own id cannot go by that of another.
local function replaceable(holder, relations)
  if relations[REPLACE] == 0 or relations[TO_GROUP] ~= '' then return nil end
  if #relations[NEEDS] + #relations[NEEDS_LATER] + #relations[DEPENDENTS] > 0 then return nil end
  local record = load(holder)
  -- By time alone a key may outlive its holder, whose id is another task's then.
  if not record or not record[RELATIONS] then return nil end
  if record[RELATIONS][UNIQUE] ~= relations[KEY] then return nil end
  if record[STATE] ~= SCHEDULED and record[STATE] ~= PENDING then return nil end
  return record[DELIVERIES] == 0 and record or nil
end

local most = 0

-- Reads how many tasks may be pending.
local function read_bound()
  most = tonumber(redis.call('HGET', meta, 'max_pending') or 0)
end

local function comes_pending(o, now)
  local relations = o[9]
  if due_at(o, now) > now then return false end
  if not relations then return true end
  return #relations[NEEDS] + #relations[NEEDS_LATER] == 0 and relations[TO_GROUP] == ''
end

-- Why a task that a caller hands in is refused, or nil; 0 for an id that exists. Before it
-- are the tasks of a whole that are in front of it: {ids, keys, ready}; nil without a whole.
local function rejection(id, o, now, before)
  local relations = o[9]
  if relations and relations[TO] ~= '' then return nil end
  if redis.call('HEXISTS', records, id) == 1 or before and before.ids[id] then return 0 end
  if relations and relations[KEY] ~= '' then
    local holder = holder_of(relations[KEY], now) or before and before.keys[relations[KEY]]
    if holder then
      if not before and replaceable(holder, relations) then return nil end
      return {TAKEN, holder, 0}
    end
  end
  if most > 0 and comes_pending(o, now) then
    local waiting = redis.call('ZCARD', pending) + redis.call('ZCARD', keyed)
    if waiting + (before and before.ready or 0) >= most then return {FULL, '', 0} end
  end
  for _, ref in ipairs(relations and relations[NEEDS] or {}) do
    local queue, local_id = split(ref)
    if not queue and not (before and before.ids[local_id] == 'needed') then
      local state = state_of(local_id)
      if not state or state == GROUPED then return {MISSING, ref, 0} end
    end
  end
  return nil
end

-- Puts a task of a whole in front of the next.
local function add_preceding(id, o, now, before)
  local relations = o[9]
  if relations and relations[TO] ~= '' then return end
  before.ids[id] = relations and relations[TO_GROUP] ~= '' and 'grouped' or 'needed'
  local key = relations and relations[KEY] or ''
  if key ~= '' and not before.keys[key] then before.keys[key] = id end
  if comes_pending(o, now) then before.ready = before.ready + 1 end
end

local added = 0

local function expiry(o, now)
  if o[8] > 0 then return o[8] end
  return o[7] > 0 and now + o[7] or 0
end

-- Puts a task in the place of the holder of its unique key.
local function replace(id, record, envelope, o, now)
  local relations, run, was = o[9], math.max(due_at(o, now), now), record[STATE]
  leave_index(id, record)
  if record[ENVELOPE] == '' then redis.call('HDEL', payloads, id) end
  set_envelope(id, record, envelope)
  record[PRIORITY], record[MAX_RETRY] = o[1], o[2]
  record[MAX_CRASHES], record[RETENTION] = o[3], o[4]
  record[RUN], record[EXPIRES] = run, expiry(o, now)
  record[RELATIONS][UNTIL], record[RELATIONS][LIMIT_KEY] = relations[ENDS], relations[TO_LIMIT]
  local till = relations[TTL] > 0 and now + relations[TTL] or 0
  lock(relations[KEY], id, till)
  if run > now then
    later(id, record, SCHEDULED, run)
  else
    if was == SCHEDULED then record[SEQ] = next_seq() end
    ready(id, record)
  end
  record_entry(now, 'enqueue', id, was, record[STATE], record, till)
  return {REPLACED, id, record[STATE]}
end

-- Adds a task that nothing refuses but its unique key, or that its id exists (0). An untied one
-- that is `lazily` made pending is so by the next `write_together`.
local function insert(id, envelope, options, o, now, lazily)
  local relations = o[9]
  if relations and relations[TO] ~= '' then
    send(now, relations[TO], TASK, id, envelope, options)
    return {SENT, '', 0}
  end
  if relations and relations[KEY] ~= '' then
    local holder = holder_of(relations[KEY], now)
    if holder then
      local record = replaceable(holder, relations)
      if record then return replace(holder, record, envelope, o, now) end
      return {TAKEN, holder, 0}
    end
  end
  if lately[id] or redis.call('HEXISTS', records, id) == 1 then return 0 end
  local run = math.max(due_at(o, now), now)
  local record = {0, o[1], o[2], o[3], o[4], now, run, expiry(o, now),
                  0, '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
  set_envelope(id, record, envelope)
  added = added + 1
  if not relations then
    if run > now then
      later(id, record, SCHEDULED, run)
    else
      record[SEQ] = next_seq()
      ready(id, record, lazily)
    end
    record_entry(now, 'enqueue', id, 0, record[STATE], record)
    return record[STATE]
  end
  local waits, holds = #relations[NEEDS] + #relations[NEEDS_LATER], relations[KEY] ~= '' and 1 or 0
  record[RELATIONS] = {relations[KEY], relations[ENDS], holds, relations[TO_LIMIT],
                       relations[TO_GROUP], waits, relations[TO_RUN_ON_FAILURE]}
  if #relations[DEPENDENTS] > 0 then mark(record, HAS_DEPENDENTS) end
  local till = holds == 1 and relations[TTL] > 0 and now + relations[TTL] or 0
  if holds == 1 then lock(relations[KEY], id, till) end
  if waits > 0 then
    block(id, record)
  elseif relations[TO_GROUP] ~= '' then
    group_in(id, record)
  elseif run > now then
    later(id, record, SCHEDULED, run)
  else
    record[SEQ] = next_seq()
    ready(id, record)
  end
  record_entry(
    now, 'enqueue', id, 0, record[STATE], record, till, relations[NEEDS], relations[NEEDS_LATER]
  )
  relate(edges, id, relations[DEPENDENTS])
  relate(needs, id, relations[NEEDS_LATER])
  if #relations[NEEDS] == 0 then return record[STATE] end
  relate(needs, id, relations[NEEDS])
  for _, ref in ipairs(relations[NEEDS]) do check_dependency(id, ref, now) end
  return load(id)[STATE]
end

-- Adds a task that was promised to be enqueued: only a holder of its key refuses it.
local function enqueue_promised(id, envelope, options, now)
  local o = cmsgpack.unpack(options)
  local relations = o[9]
  if (not relations or relations[TO] == '') and redis.call('HEXISTS', records, id) == 1 then
    for _, dependent in ipairs(relations and relations[DEPENDENTS] or {}) do
      subscribe(id, dependent, now)
    end
    return
  end
  local answer = insert(id, envelope, options, o, now)
  if type(answer) == 'table' and answer[1] ~= SENT then
    for _, dependent in ipairs(relations[DEPENDENTS]) do
      notify_dependent(id, dependent, 0, '', now)
    end
  end
end

local function count_added()
  if added > 0 then count('enqueued', added) end
end
