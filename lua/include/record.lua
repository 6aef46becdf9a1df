-- A task's record is a msgpack array in KEYS[1], in the order of RECORD_FIELDS. A task that is
-- related to others has one field more, RELATIONS, an array in the order of RELATION_FIELDS. The
-- envelope is '' where `payloads` has it. The record of a new task, to which nothing has happened
-- yet, ends with the envelope, and its RUN is 0 if it equals CREATED.
local band, bor, type = bit.band, bit.bor, type

-- Raises an error unless each field is of its type. Lua compares only numbers, or only texts, with
-- `<`, and 19 such comparisons cost a fraction of 19 calls of `type`.
local function check_types(record, size)
  local _
  for n = PRIORITY, SEQ do _ = record[n] < 0 end
  _ = record[ENVELOPE] < ''
  if size == ENVELOPE then return end
  for n = ATTEMPT, SNOOZES do _ = record[n] < 0 end
  for n = CANCEL, FINISHED do _ = record[n] < 0 end
  _ = record[NONCE] < ''
  _ = record[WORKER] < ''
  _ = record[ERROR] < ''
end

-- Adds the fields that the record of a new task leaves out.
local function fill(record)
  if record[RUN] == 0 then record[RUN] = record[CREATED] end
  record[ATTEMPT], record[DELIVERIES], record[CRASHES], record[SNOOZES] = 0, 0, 0, 0
  record[NONCE], record[WORKER], record[CANCEL], record[MARKS] = '', '', 0, 0
  record[STARTED], record[FINISHED], record[ERROR] = 0, 0, ''
end

local function is_relations(relations)
  if type(relations) ~= 'table' or #relations ~= RUN_ON_DEPENDENCY_FAILURE then return false end
  for n = 1, RUN_ON_DEPENDENCY_FAILURE do
    local kind = (n == UNIQUE or n == LIMIT_KEY or n == GROUP) and 'string' or 'number'
    if type(relations[n]) ~= kind then return false end
  end
  return true
end

-- Returns the record, or nil if the bytes are not one: a script that fails halfway, on a field of
-- the wrong type, would lose the task that it has just taken out of an index. For a record of a
-- newer format, returns nil and its first field.
local function decode(raw)
  -- If there are no bytes, or none to unpack, `record` is an error's text, which is no table.
  local _, record = pcall(cmsgpack.unpack, raw)
  if type(record) ~= 'table' then return nil end
  local code = record[STATE]
  if type(code) ~= 'number' then return nil end
  if code >= FORMAT * FORMAT_STEP and code < FORMAT_STEP * FORMAT_STEP then return nil, code end
  local size = #record
  if size == RELATIONS then
    if not is_relations(record[RELATIONS]) then return nil end
  elseif size ~= ENVELOPE and size ~= ERROR then
    return nil
  end
  if not pcall(check_types, record, size) then return nil end
  if size == ENVELOPE then fill(record) end
  return record
end

local function load(id)
  return decode(redis.call('HGET', KEYS[1], id))
end

-- Returns the code of a task's state, whatever its format; nil for no task.
local function state_of(id)
  local record, newer = load(id)
  if newer then return newer % FORMAT_STEP end
  return record and record[STATE]
end

-- Packs the record of a new task, without the fields that `fill` adds.
local function pack_new(record)
  local fields = {unpack(record, STATE, ENVELOPE)}
  if fields[RUN] == fields[CREATED] then fields[RUN] = 0 end
  return cmsgpack.pack(fields)
end

local function is_new(record)
  if record[RELATIONS] then return false end
  for n = ATTEMPT, ERROR do
    if record[n] ~= 0 and record[n] ~= '' then return false end
  end
  return true
end

local function save(id, record)
  redis.call('HSET', KEYS[1], id, is_new(record) and pack_new(record) or cmsgpack.pack(record))
end

local function score(record)
  return record[PRIORITY] * PRIORITY_SPAN + record[SEQ]
end

local function count(total, by)
  redis.call('HINCRBY', KEYS[2], total, by)
end

-- Publishes a signal on the channel that is named like the queue's meta key.
local function notify(message)
  redis.call('PUBLISH', KEYS[2], message)
end

local function mark(record, flag)
  record[MARKS] = bor(record[MARKS], flag)
end

local function marked(record, flag)
  return band(record[MARKS], flag) ~= 0
end

-- Returns the prefix of all members of one name, in a set that is ordered by bytes.
local function prefix(name)
  return string.char(#name) .. name
end

-- Returns a member of `keyed` or `grouped`, which are ordered by name, then by rank.
local function member(name, at, id)
  return prefix(name) .. string.format('%016.0f', at) .. id
end

-- Returns the first members that begin with a prefix.
local function with_prefix(key, start, limit)
  return redis.call('ZRANGEBYLEX', key, '[' .. start, '(' .. start .. '\255', 'LIMIT', 0, limit)
end
