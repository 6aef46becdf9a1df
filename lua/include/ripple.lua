-- What the end of a task means for those that wait for it. A reference is an id of this
-- queue, or '<queue>/<id>' of another.
local RIPPLE = 500
local NIL = '\192'
local HOW = {
  [0] = 'is gone', [COMPLETED] = 'is completed', [DEAD] = 'is dead', [CANCELLED] = 'was cancelled',
}
local TASK, LINK, TOLD = 1, 2, 3

-- The queue of a reference, nil for this one, and the id.
local function split(ref)
  if ref:byte(1) < 32 then return nil, ref end
  local slash = ref:find('/', 1, true)
  if not slash then return nil, ref end
  return ref:sub(1, slash - 1), ref:sub(slash + 1)
end

-- A reference as people write it.
local function text_of(ref)
  local queue, id = split(ref)
  if #id == 16 and id:byte(1) < 32 then
    local hex = id:gsub('.', function(c) return string.format('%02x', c:byte()) end)
    id = hex:gsub('^(........)(....)(....)(....)', '%1-%2-%3-%4-')
  end
  return queue and queue .. '/' .. id or id
end

local sent = nil

-- Puts a message {receiver, kind, ...} into the outbox.
local function post(now, ...)
  if not sent then
    sent = tonumber(redis.call('HGET', meta, 'sent') or 0)
    tell('mail')
  end
  sent = math.max(sent + 1, now * 1024)
  redis.call('ZADD', outbox, sent, cmsgpack.pack({sent, ...}))
end

-- What `how` says of a task that nobody has looked at yet.
local UNKNOWN = 255
-- What is held over once more is told to nobody.
local held_over, quiet = 0, false

-- Leaves it to a newer version to tell one dependent of an end, or to look for it.
local function hold_over(own, how, result, dependent)
  local order = redis.call('HINCRBY', meta, 'rippled', 1)
  redis.call('ZADD', endings, order, cmsgpack.pack({order, own, how, result, dependent}))
  held_over = held_over + 1
  if not quiet then tell('mail') end
end

-- Takes note, once, of the end of a task that another one here waits for.
local function resolve(id, ref, how, result, now)
  local record, newer = load(id)
  if newer then
    local waits = newer % LAYER == BLOCKED and redis.call('ZSCORE', needs, prefix(id) .. ref)
    if waits then hold_over(ref, how, result, id) end
    return
  end
  if not record then
    -- A claim buries what cannot be decoded.
    if redis.call('ZREM', blocked, id) == 1 then redis.call('ZADD', pending, 0, id) end
    return
  end
  if record[STATE] ~= BLOCKED then return end
  local entry, ties = prefix(id) .. ref, record[TIES]
  if not redis.call('ZSCORE', needs, entry) then return end
  if how ~= COMPLETED and ties[LENIENT] == 0 then
    leave(id, record)
    bury(id, record, 'the task ' .. text_of(ref) .. ' that it needs ' .. HOW[how], now)
    note(now, 'unblock', id, BLOCKED, DEAD, record)
    return
  end
  redis.call('ZREM', needs, entry)
  if result ~= '' and result ~= NIL then
    local known = redis.call('HGET', inputs, id) or ''
    redis.call('HSET', inputs, id, known .. cmsgpack.pack(ref) .. result)
  end
  ties[WAITS] = ties[WAITS] - 1
  if ties[WAITS] > 0 then
    save(id, record)
    return
  end
  leave(id, record)
  if record[RUN] > now then
    later(id, record, SCHEDULED, record[RUN])
  else
    record[SEQ] = next_seq()
    ready(id, record)
  end
  note(now, 'unblock', id, BLOCKED, record[STATE], record)
end

-- Tells a dependent, here or elsewhere, how a task has ended.
local function tell_dependent(own, dependent, how, result, now)
  local queue, id = split(dependent)
  if queue then
    post(now, queue, TOLD, id, own, how, result)
  else
    resolve(id, own, how, result, now)
  end
end

-- Lets a dependent be told of the end of a task, now where it has ended or is not there.
local function follow(own, dependent, now)
  local source, newer = load(own)
  local state = newer and newer % LAYER or source and source[STATE]
  if not state or state == GROUPED then
    tell_dependent(own, dependent, 0, '', now)
  elseif state >= COMPLETED then
    tell_dependent(own, dependent, state, redis.call('HGET', results, own) or '', now)
  elseif newer then
    hold_over(own, UNKNOWN, '', dependent)
  else
    redis.call('ZADD', edges, 0, prefix(own) .. dependent)
    if not marked(source, FOLLOWED) then
      mark(source, FOLLOWED)
      save(own, source)
    end
  end
end

-- Takes up what was held over for one dependent.
local function take_up(ending, now)
  if ending[3] == UNKNOWN then
    follow(ending[2], ending[5], now)
  else
    tell_dependent(ending[2], ending[5], ending[3], ending[4], now)
  end
end

-- Notes in `edges` or `needs` that a task and these others belong together: many in one
-- call, which is several times faster.
local function tie(key, id, refs)
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

-- Looks at a task that another waits for, and tells that at once where it has ended.
local function look(id, ref, now)
  local queue, own = split(ref)
  if queue then
    post(now, queue, LINK, id, own, 0, '')
  else
    follow(own, id, now)
  end
end

-- Tells those that wait for what has ended, and so on, `budget` at most; what is left is
-- held over in `endings`. Says how many were told.
local function ripple(now, budget)
  local told, at = 0, 1
  while ended[at] do
    local own, how, result = ended[at][1], ended[at][2], ended[at][3]
    local start = prefix(own)
    for _, edge in ipairs(beginning(edges, start, budget - told)) do
      redis.call('ZREM', edges, edge)
      tell_dependent(own, edge:sub(#start + 1), how, result, now)
      told = told + 1
    end
    if told >= budget then break end
    at = at + 1
  end
  for left = at, #ended do
    local order = redis.call('HINCRBY', meta, 'rippled', 1)
    redis.call('ZADD', endings, order, cmsgpack.pack({order, unpack(ended[left])}))
  end
  if ended[at] then tell('mail') end
  ended = {}
  return told
end

-- The end of every script that moves tasks.
local function conclude(now)
  ripple(now, RIPPLE)
  touch_lanes(now)
  touch_groups()
  if seq then redis.call('HSET', meta, 'seq', seq) end
  if sent then redis.call('HSET', meta, 'sent', sent) end
  if step then redis.call('HSET', meta, 'noted', step) end
end
