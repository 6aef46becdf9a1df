-- How tasks come in. Their options are arrays in the order of NEW_TASK_FIELDS, and the relations
-- among them in that of NEW_RELATION_FIELDS.

local function due_at(o, now)
  return o[NEW_RUN_AT] > 0 and o[NEW_RUN_AT] or now + o[NEW_DELAY]
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
  if relations[NEW_REPLACE] == 0 or relations[NEW_GROUP] ~= '' then return nil end
  local others = #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER]
  if others + #relations[NEW_DEPENDENTS] > 0 then return nil end
  local record = load(holder)
  -- By time alone a key may outlive its holder, whose id is another task's then.
  if not record or not record[RELATIONS] then return nil end
  if record[RELATIONS][UNIQUE] ~= relations[NEW_UNIQUE] then return nil end
  if record[STATE] ~= SCHEDULED and record[STATE] ~= PENDING then return nil end
  return record[DELIVERIES] == 0 and record or nil
end

local most = 0

-- Reads how many tasks may be pending.
local function read_bound()
  most = tonumber(redis.call('HGET', meta, 'max_pending') or 0)
end

local function comes_pending(o, now)
  local relations = o[NEW_RELATIONS]
  if due_at(o, now) > now then return false end
  if not relations then return true end
  return #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER] == 0 and relations[NEW_GROUP] == ''
end

-- Why a task that a caller hands in is refused, or nil; 0 for an id that exists. Before it
-- are the tasks of a whole that are in front of it: {ids, keys, ready}; nil without a whole.
local function rejection(id, o, now, before)
  local relations = o[NEW_RELATIONS]
  if relations and relations[NEW_QUEUE] ~= '' then return nil end
  if redis.call('HEXISTS', records, id) == 1 or before and before.ids[id] then return 0 end
  local key = relations and relations[NEW_UNIQUE] or ''
  if key ~= '' then
    local holder = holder_of(key, now) or before and before.keys[key]
    if holder then
      if not before and replaceable(holder, relations) then return nil end
      return {TAKEN, holder, 0}
    end
  end
  if most > 0 and comes_pending(o, now) then
    local waiting = redis.call('ZCARD', pending) + redis.call('ZCARD', keyed)
    if waiting + (before and before.ready or 0) >= most then return {FULL, '', 0} end
  end
  for _, ref in ipairs(relations and relations[NEW_NEEDS] or {}) do
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
  local relations = o[NEW_RELATIONS]
  if relations and relations[NEW_QUEUE] ~= '' then return end
  before.ids[id] = relations and relations[NEW_GROUP] ~= '' and 'grouped' or 'needed'
  local key = relations and relations[NEW_UNIQUE] or ''
  if key ~= '' and not before.keys[key] then before.keys[key] = id end
  if comes_pending(o, now) then before.ready = before.ready + 1 end
end

local added = 0

local function expiry(o, now)
  if o[NEW_EXPIRES_AT] > 0 then return o[NEW_EXPIRES_AT] end
  return o[NEW_EXPIRES_IN] > 0 and now + o[NEW_EXPIRES_IN] or 0
end

-- Puts a task in the place of the holder of its unique key.
local function replace(id, record, envelope, o, now)
  local relations, run, was = o[NEW_RELATIONS], math.max(due_at(o, now), now), record[STATE]
  leave_index(id, record)
  if record[ENVELOPE] == '' then redis.call('HDEL', payloads, id) end
  set_envelope(id, record, envelope)
  record[PRIORITY], record[MAX_RETRY] = o[NEW_PRIORITY], o[NEW_MAX_RETRY]
  record[MAX_CRASHES], record[RETENTION] = o[NEW_MAX_CRASHES], o[NEW_RETENTION]
  record[RUN], record[EXPIRES] = run, expiry(o, now)
  record[RELATIONS][UNTIL] = relations[NEW_UNTIL]
  record[RELATIONS][LIMIT_KEY] = relations[NEW_LIMIT_KEY]
  local till = relations[NEW_TTL] > 0 and now + relations[NEW_TTL] or 0
  lock(relations[NEW_UNIQUE], id, till)
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
  local relations = o[NEW_RELATIONS]
  if relations and relations[NEW_QUEUE] ~= '' then
    send(now, relations[NEW_QUEUE], TASK, id, envelope, options)
    return {SENT, '', 0}
  end
  if relations and relations[NEW_UNIQUE] ~= '' then
    local holder = holder_of(relations[NEW_UNIQUE], now)
    if holder then
      local record = replaceable(holder, relations)
      if record then return replace(holder, record, envelope, o, now) end
      return {TAKEN, holder, 0}
    end
  end
  if lately[id] or redis.call('HEXISTS', records, id) == 1 then return 0 end
  local run = math.max(due_at(o, now), now)
  local record = {0, o[NEW_PRIORITY], o[NEW_MAX_RETRY], o[NEW_MAX_CRASHES], o[NEW_RETENTION],
                  now, run, expiry(o, now), 0, '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
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
  local waits = #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER]
  local holds = relations[NEW_UNIQUE] ~= '' and 1 or 0
  record[RELATIONS] = {relations[NEW_UNIQUE], relations[NEW_UNTIL], holds, relations[NEW_LIMIT_KEY],
                       relations[NEW_GROUP], waits, relations[NEW_RUN_ON_DEPENDENCY_FAILURE]}
  if #relations[NEW_DEPENDENTS] > 0 then mark(record, HAS_DEPENDENTS) end
  local till = holds == 1 and relations[NEW_TTL] > 0 and now + relations[NEW_TTL] or 0
  if holds == 1 then lock(relations[NEW_UNIQUE], id, till) end
  if waits > 0 then
    block(id, record)
  elseif relations[NEW_GROUP] ~= '' then
    group_in(id, record)
  elseif run > now then
    later(id, record, SCHEDULED, run)
  else
    record[SEQ] = next_seq()
    ready(id, record)
  end
  record_entry(now, 'enqueue', id, 0, record[STATE], record, till,
    relations[NEW_NEEDS], relations[NEW_NEEDS_LATER])
  relate(edges, id, relations[NEW_DEPENDENTS])
  relate(needs, id, relations[NEW_NEEDS_LATER])
  if #relations[NEW_NEEDS] == 0 then return record[STATE] end
  relate(needs, id, relations[NEW_NEEDS])
  for _, ref in ipairs(relations[NEW_NEEDS]) do check_dependency(id, ref, now) end
  return load(id)[STATE]
end

-- Adds a task that was promised to be enqueued: only a holder of its key refuses it.
local function enqueue_promised(id, envelope, options, now)
  local o = cmsgpack.unpack(options)
  local relations = o[NEW_RELATIONS]
  if (not relations or relations[NEW_QUEUE] == '') and redis.call('HEXISTS', records, id) == 1 then
    for _, dependent in ipairs(relations and relations[NEW_DEPENDENTS] or {}) do
      subscribe(id, dependent, now)
    end
    return
  end
  local answer = insert(id, envelope, options, o, now)
  if type(answer) == 'table' and answer[1] ~= SENT then
    for _, dependent in ipairs(relations[NEW_DEPENDENTS]) do
      notify_dependent(id, dependent, 0, '', now)
    end
  end
end

local function count_added()
  if added > 0 then count('enqueued', added) end
end
