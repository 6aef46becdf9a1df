-- Notifies dependents of the end of a task. A reference is the id of a task of this queue, or
-- '<queue>/<id>' for one of another queue.
local ended_as_texts = ENDED_AS

-- Returns the queue of a reference, nil for this one, and the id.
local function split(ref)
  if ref:byte(1) < 32 then return nil, ref end
  local slash = ref:find('/', 1, true)
  if not slash then return nil, ref end
  return ref:sub(1, slash - 1), ref:sub(slash + 1)
end

-- Returns a reference as text.
local function text_of(ref)
  local queue, id = split(ref)
  if #id == 16 and id:byte(1) < 32 then
    local hex = id:gsub('.', function(c) return string.format('%02x', c:byte()) end)
    id = hex:gsub('^(........)(....)(....)(....)', '%1-%2-%3-%4-')
  end
  return queue and queue .. '/' .. id or id
end

local sent = nil

-- Adds a message {receiver, kind, ...} to the outbox.
local function send(now, ...)
  if not sent then
    sent = tonumber(redis.call('HGET', meta, 'sent') or 0)
    notify('mail')
  end
  sent = math.max(sent + 1, now * SENT_PER_MS)
  redis.call('ZADD', outbox, sent, cmsgpack.pack({sent, ...}))
end

-- How many ends this call deferred; and whether it must not signal them, as they were before.
local deferred, quiet = 0, false

-- Leaves it to a newer version to notify one dependent of an end, or to look whether there is one.
local function defer(local_id, ended_as, result, dependent)
  local order = redis.call('HINCRBY', meta, 'rippled', 1)
  redis.call('ZADD', endings, order, cmsgpack.pack({order, local_id, ended_as, result, dependent}))
  deferred = deferred + 1
  if not quiet then notify('mail') end
end

-- Of the tasks that died because of one that they need id, attempt and reason, one after the other.
local died = {}

-- Resolves a dependency, once: a task of this queue waits for a task that has ended.
local function resolve(id, ref, ended_as, result, now)
  local record, newer = load(id)
  if newer then
    local waits = newer % FORMAT_STEP == BLOCKED and redis.call('ZSCORE', needs, prefix(id) .. ref)
    if waits then defer(ref, ended_as, result, id) end
    return
  end
  if not record then
    -- A claim buries a task that cannot be decoded.
    if redis.call('ZREM', blocked, id) == 1 then redis.call('ZADD', pending, 0, id) end
    return
  end
  if record[STATE] ~= BLOCKED then return end
  local entry, relations = prefix(id) .. ref, record[RELATIONS]
  if not redis.call('ZSCORE', needs, entry) then return end
  if ended_as ~= COMPLETED and relations[RUN_ON_DEPENDENCY_FAILURE] == 0 then
    leave_index(id, record)
    local reason = string.format(NEED_FAILED, text_of(ref), ended_as_texts[ended_as])
    bury(id, record, reason, now)
    died[#died + 1], died[#died + 2], died[#died + 3] = id, record[ATTEMPT], reason
    record_entry(now, 'unblock', id, BLOCKED, DEAD, record)
    return
  end
  redis.call('ZREM', needs, entry)
  if result ~= '' and result ~= NIL then
    local known = redis.call('HGET', inputs, id) or ''
    redis.call('HSET', inputs, id, known .. cmsgpack.pack(ref) .. result)
  end
  relations[WAITS] = relations[WAITS] - 1
  if relations[WAITS] > 0 then
    save(id, record)
    return
  end
  leave_index(id, record)
  if record[RUN] > now then
    later(id, record, SCHEDULED, record[RUN])
  else
    record[SEQ] = next_seq()
    ready(id, record)
  end
  record_entry(now, 'unblock', id, BLOCKED, record[STATE], record)
end

-- Adds those tasks to a reply.
local function add_died(reply)
  for n = 1, #died do reply[#reply + 1] = died[n] end
  return reply
end

-- Notifies a dependent, of this queue or another, of how a task has ended.
local function notify_dependent(local_id, dependent, ended_as, result, now)
  local queue, id = split(dependent)
  if queue then
    send(now, queue, ENDED, id, local_id, ended_as, result)
  else
    resolve(id, local_id, ended_as, result, now)
  end
end

-- Subscribes a dependent to the end of a task; notifies it now if the task has ended or is gone.
-- One that asks again may be subscribed already, or wait for a task that is still on its way.
local function subscribe(local_id, dependent, now, again)
  local source, newer = load(local_id)
  local state = newer and newer % FORMAT_STEP or source and source[STATE]
  if again and (not state or redis.call('ZSCORE', edges, prefix(local_id) .. dependent)) then
    return
  end
  if not state or state == GROUPED then
    notify_dependent(local_id, dependent, 0, '', now)
  elseif state >= COMPLETED then
    notify_dependent(local_id, dependent, state, redis.call('HGET', results, local_id) or '', now)
  elseif newer then
    defer(local_id, NOT_LOOKED_AT, '', dependent)
  else
    redis.call('ZADD', edges, 0, prefix(local_id) .. dependent)
    if not marked(source, HAS_DEPENDENTS) then
      mark(source, HAS_DEPENDENTS)
      save(local_id, source)
    end
  end
end

-- Goes on with what `defer` left for one dependent.
local function resume_deferred(ending, now)
  if ending[ENDING_ENDED_AS] == NOT_LOOKED_AT then
    subscribe(ending[ENDING_ID], ending[ENDING_DEPENDENT], now)
  else
    notify_dependent(ending[ENDING_ID], ending[ENDING_DEPENDENT], ending[ENDING_ENDED_AS],
      ending[ENDING_RESULT], now)
  end
end

-- Adds the relations of a task to these others to `edges` or `needs`, many in one call, which is
-- several times faster.
local function relate(key, id, refs)
  local start = prefix(id)
  for first = 1, #refs, 1000 do
    local args = {}
    for at = first, math.min(first + 999, #refs) do
      args[#args + 1] = 0
      args[#args + 1] = start .. refs[at]
    end
    redis.call('ZADD', key, unpack(args))
  end
end

-- Subscribes a task to the end of another, or notifies it at once if that has ended.
local function check_dependency(id, ref, now)
  local queue, local_id = split(ref)
  if queue then
    send(now, queue, SUBSCRIBE, id, local_id, 0, '')
  else
    subscribe(local_id, id, now)
  end
end

-- Returns whether an array of numbers comes before another, by the first that differs.
local function precedes(a, b)
  for n = 1, #a do
    if a[n] ~= b[n] then return a[n] < b[n] end
  end
  return false
end

-- Returns the first `limit` edges of a task, in the order in which the dependents were enqueued.
-- Those of other queues come first, because this queue does not know when they were enqueued.
local function first_edges(start, limit)
  local found = with_prefix(edges, start, math.max(limit, ORDERED_AT_ONCE))
  if #found <= math.min(limit, 1) then return found end
  local ids, order, first = {}, {}, {}
  for i = 1, math.min(#found, ORDERED_AT_ONCE) do ids[i] = found[i]:sub(#start + 1) end
  local raws = redis.call('HMGET', KEYS[1], unpack(ids))
  for i = 1, #ids do
    -- A reference to another queue is no id of this one, so it has no record.
    local record = decode(raws[i])
    order[i] = record and {record[CREATED], record[SEQ], i} or {0, 0, i}
  end
  table.sort(order, precedes)
  for i = 1, math.min(limit, #found) do first[i] = found[order[i] and order[i][3] or i] end
  return first
end

-- Notifies the dependents of ended tasks, and of those that end by it, `budget` at most, and stores
-- the rest in `endings`. Returns how many were notified.
local function propagate(now, budget)
  local notified, at = 0, 1
  while ended[at] do
    local local_id, ended_as, result = ended[at][1], ended[at][2], ended[at][3]
    local start = prefix(local_id)
    for _, edge in ipairs(first_edges(start, budget - notified)) do
      redis.call('ZREM', edges, edge)
      notify_dependent(local_id, edge:sub(#start + 1), ended_as, result, now)
      notified = notified + 1
    end
    if notified >= budget then break end
    at = at + 1
  end
  for left = at, #ended do
    local order = redis.call('HINCRBY', meta, 'rippled', 1)
    redis.call('ZADD', endings, order, cmsgpack.pack({order, unpack(ended[left])}))
  end
  if ended[at] then notify('mail') end
  ended = {}
  return notified
end

-- Ends every script that moves tasks: writes what was collected on the way.
local function conclude(now)
  propagate(now, PROPAGATED_AT_ONCE)
  touch_lanes(now)
  touch_groups()
  if seq then redis.call('HSET', meta, 'seq', seq) end
  if sent then redis.call('HSET', meta, 'sent', sent) end
  if last_entry then redis.call('HSET', meta, 'noted', last_entry) end
end
