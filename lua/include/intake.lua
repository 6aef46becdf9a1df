-- Adds tasks to the queue. Options of a task are an array in the order of NEW_TASK_FIELDS; the
-- relations among them are an array in the order of NEW_RELATION_FIELDS.

local function due_at(o, now)
  return o[NEW_RUN_AT] > 0 and o[NEW_RUN_AT] or now + o[NEW_DELAY]
end

-- Returns the holder of a unique key whose window is open, or nil.
local function holder_of(key, now)
  local holder = redis.call('HGET', unique, key)
  if not holder then return nil end
  local ends = redis.call('ZSCORE', locks, key)
  if ends then return tonumber(ends) > now and holder or nil end
  -- A holder whose record is damaged would never free the key, so it does not count.
  local record, newer = load(holder)
  if newer then return holder end
  return record and record[RELATIONS] and record[RELATIONS][UNIQUE] == key and holder or nil
end

local function lock(key, id, ends)
  redis.call('HSET', unique, key, id)
  if ends > 0 then redis.call('ZADD', locks, ends, key) else redis.call('ZREM', locks, key) end
end

-- Returns the record of a holder that a task may replace, because it was never claimed, or nil. A
-- task with dependencies or dependents cannot take another id, so it replaces none.
local function replaceable(holder, relations)
  if relations[NEW_REPLACE] == 0 or relations[NEW_GROUP] ~= '' then return nil end
  local others = #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER]
  if others + #relations[NEW_DEPENDENTS] > 0 then return nil end
  local record = load(holder)
  -- A key whose window ends by time may outlive its holder; another task may have that id now.
  if not record or not record[RELATIONS] then return nil end
  if record[RELATIONS][UNIQUE] ~= relations[NEW_UNIQUE] then return nil end
  if record[STATE] ~= SCHEDULED and record[STATE] ~= PENDING then return nil end
  return record[DELIVERIES] == 0 and record or nil
end

local max_pending = 0

-- Reads how many tasks may be pending.
local function read_max_pending()
  max_pending = tonumber(redis.call('HGET', meta, 'max_pending') or 0)
end

local function comes_pending(o, now)
  local relations = o[NEW_RELATIONS]
  if due_at(o, now) > now then return false end
  if not relations then return true end
  return #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER] == 0 and relations[NEW_GROUP] == ''
end

-- Returns why a task of a caller is rejected, or nil; 0 for an id that exists. `before` has the
-- tasks that precede it in an atomic enqueue, {ids, keys, ready}; nil for any other enqueue.
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
  if max_pending > 0 and comes_pending(o, now) then
    local waiting = redis.call('ZCARD', pending) + redis.call('ZCARD', keyed)
    if waiting + (before and before.ready or 0) >= max_pending then return {FULL, '', 0} end
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

-- Adds a task of an atomic enqueue to those that precede the next one.
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

-- Replaces the holder of a unique key by a task.
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
  local ends = relations[NEW_TTL] > 0 and now + relations[NEW_TTL] or 0
  lock(relations[NEW_UNIQUE], id, ends)
  if run > now then
    later(id, record, SCHEDULED, run)
  else
    if was == SCHEDULED then record[SEQ] = next_seq() end
    ready(id, record)
  end
  record_entry(now, 'enqueue', id, was, record[STATE], record, ends)
  return {REPLACED, id, record[STATE]}
end

-- Inserts a task. Only a holder of its unique key, or of its id (0), rejects it. If `buffered`, the
-- next `write_buffered` writes it; that is for pending tasks without relations.
local function insert(id, envelope, options, o, now, buffered)
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
  if buffered_ids[id] or redis.call('HEXISTS', records, id) == 1 then return 0 end
  local run = math.max(due_at(o, now), now)
  local record = {0, o[NEW_PRIORITY], o[NEW_MAX_RETRY], o[NEW_MAX_CRASHES], o[NEW_RETENTION],
                  now, run, expiry(o, now), next_seq(), '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
  set_envelope(id, record, envelope)
  added = added + 1
  local waits, ends = 0, 0
  if relations then
    local owns = relations[NEW_UNIQUE] ~= '' and 1 or 0
    waits = #relations[NEW_NEEDS] + #relations[NEW_NEEDS_LATER]
    record[RELATIONS] = {
      relations[NEW_UNIQUE], relations[NEW_UNTIL], owns, relations[NEW_LIMIT_KEY],
      relations[NEW_GROUP], waits, relations[NEW_RUN_ON_DEPENDENCY_FAILURE],
    }
    if #relations[NEW_DEPENDENTS] > 0 then mark(record, HAS_DEPENDENTS) end
    if owns == 1 and relations[NEW_TTL] > 0 then ends = now + relations[NEW_TTL] end
    if owns == 1 then lock(relations[NEW_UNIQUE], id, ends) end
  end
  if waits > 0 then
    block(id, record)
  elseif relations and relations[NEW_GROUP] ~= '' then
    group_in(id, record)
  elseif run > now then
    later(id, record, SCHEDULED, run)
  else
    ready(id, record, buffered)
  end
  record_entry(now, 'enqueue', id, 0, record[STATE], record, ends,
    relations and relations[NEW_NEEDS], relations and relations[NEW_NEEDS_LATER])
  if not relations then return record[STATE] end
  relate(edges, id, relations[NEW_DEPENDENTS])
  relate(needs, id, relations[NEW_NEEDS_LATER])
  if #relations[NEW_NEEDS] == 0 then return record[STATE] end
  relate(needs, id, relations[NEW_NEEDS])
  for _, ref in ipairs(relations[NEW_NEEDS]) do check_dependency(id, ref, now) end
  return load(id)[STATE]
end

-- Inserts a task whose enqueue was already promised. Only a task with its id, or a holder of its
-- unique key, rejects it: returns false then, and true otherwise.
local function enqueue_promised(id, envelope, options, now)
  local o = cmsgpack.unpack(options)
  local relations = o[NEW_RELATIONS]
  if (not relations or relations[NEW_QUEUE] == '') and redis.call('HEXISTS', records, id) == 1 then
    for _, dependent in ipairs(relations and relations[NEW_DEPENDENTS] or {}) do
      subscribe(id, dependent, now)
    end
    return false
  end
  local answer = insert(id, envelope, options, o, now)
  if type(answer) == 'table' and answer[1] ~= SENT then
    for _, dependent in ipairs(relations[NEW_DEPENDENTS]) do
      notify_dependent(id, dependent, 0, '', now)
    end
  end
  return type(answer) ~= 'table' or answer[1] ~= TAKEN
end

local function count_added()
  if added > 0 then count('enqueued', added) end
end
