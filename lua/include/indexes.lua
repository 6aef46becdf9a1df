-- Moves tasks out of an index, and into those of waiting tasks. Notifies listeners of changes that
-- they would not see otherwise.
local index_of = {
  [SCHEDULED] = scheduled, [BLOCKED] = blocked, [PENDING] = pending, [ACTIVE] = active,
  [RETRY] = retry, [COMPLETED] = completed, [DEAD] = dead, [CANCELLED] = cancelled,
}

-- An envelope of at most so many bytes is stored in the record. A longer one would be copied each
-- time that the record is read or written.
local CARRIED = 512

-- Stores the envelope of a task. The caller saves the record.
local function set_envelope(id, record, envelope)
  if #envelope <= CARRIED and #envelope > 0 then
    record[ENVELOPE] = envelope
  else
    record[ENVELOPE] = ''
    redis.call('HSET', payloads, id, envelope)
  end
end

-- Returns the envelope of a task; false where it is lost.
local function envelope_of(id, record)
  if record and record[ENVELOPE] ~= '' then return record[ENVELOPE] end
  return redis.call('HGET', payloads, id)
end

local seq = nil

local function next_seq()
  if not seq then
    local set = redis.call('HMGET', meta, 'seq', 'history')
    seq, history_size = tonumber(set[1] or 0), tonumber(set[2] or 0)
  end
  seq = seq + 1
  return seq
end

-- Groups whose members or rule have changed, so that their due time in `groups` may have too.
local touched_groups = {}
local default_rule = DEFAULT_RULE

-- Returns the rule of a group, an array in the order of GROUP_RULE_FIELDS; true if it was given.
local function rule_of(group)
  local raw = redis.call('HGET', rules, group)
  return raw and cmsgpack.unpack(raw) or default_rule, raw and true
end

-- Returns when the members of a group become a batch, 0 when a rule was given and there are enough;
-- nil for no members.
local function batch_at(group)
  local start = prefix(group)
  local rule, given = rule_of(group)
  local low, high = '[' .. start, '(' .. start .. '\255'
  local first = redis.call('ZRANGEBYLEX', grouped, low, high, 'LIMIT', 0, 1)[1]
  if not first then return nil end
  local full = redis.call('ZLEXCOUNT', grouped, low, high) >= rule[RULE_MAX_SIZE]
  if full and given then return 0 end
  local last = redis.call('ZREVRANGEBYLEX', grouped, high, low, 'LIMIT', 0, 1)[1]
  local oldest, first_newer = load(first:sub(#group + 18))
  local newest, last_newer = load(last:sub(#group + 18))
  -- A member in a newer format cannot be read: keep the due time that its version stored.
  if first_newer or last_newer then return tonumber(redis.call('ZSCORE', groups, group) or 0) end
  -- Due at once, because `batch` moves members that cannot be decoded to where a claim buries them.
  if not oldest or not newest then return 0 end
  if full then return oldest[RUN] + rule[RULE_GRACE] end
  return math.min(oldest[RUN] + rule[RULE_MAX_DELAY], newest[RUN] + rule[RULE_GRACE])
end

local function touch_groups()
  for group in pairs(touched_groups) do
    local at = batch_at(group)
    if at then
      local known = redis.call('ZSCORE', groups, group)
      redis.call('ZADD', groups, at, group)
      if not known or at < tonumber(known) then notify('group:' .. group) end
    else
      redis.call('ZREM', groups, group)
      redis.call('HDEL', rules, group)
    end
  end
  touched_groups = {}
end

-- Takes a task out of the index that its state names.
local function leave_index(id, record)
  local state, relations = record[STATE], record[RELATIONS]
  if state <= PENDING or state == RETRY then
    if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end
  end
  if relations then
    local key = relations[LIMIT_KEY]
    if state == GROUPED then
      redis.call('ZREM', grouped, member(relations[GROUP], record[SEQ], id))
      touched_groups[relations[GROUP]] = true
      return
    elseif key ~= '' then
      if state == PENDING then
        redis.call('ZREM', keyed, member(key, score(record), id))
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

local function index_expiry(id, record)
  if record[EXPIRES] > 0 then redis.call('ZADD', expiring, record[EXPIRES], id) end
end

local woken = false

-- Records and scores of new tasks, buffered to write many in one call: a call costs more than its
-- work. `buffered_ids` has the ids of these tasks.
local buffer, buffered_ids = {{}, {}}, {}

local function write_buffered()
  if #buffer[1] > 0 then
    redis.call('HSET', records, unpack(buffer[1]))
    redis.call('ZADD', pending, unpack(buffer[2]))
    buffer, buffered_ids = {{}, {}}, {}
  end
end

-- Moves a task to pending, at the rank that its record names; if `buffered`, the next
-- `write_buffered` writes it.
local function ready(id, record, buffered)
  record[STATE] = PENDING
  if not buffered then save(id, record) end
  local key = record[RELATIONS] and record[RELATIONS][LIMIT_KEY] or ''
  if key ~= '' then
    redis.call('ZADD', keyed, 0, member(key, score(record), id))
    touched[key] = true
  else
    if not woken and redis.call('EXISTS', pending) == 0 then notify('wake') end
    woken = true
    if buffered then
      local saved, scores = buffer[1], buffer[2]
      saved[#saved + 1], saved[#saved + 2] = id, pack_new(record)
      scores[#scores + 1], scores[#scores + 2] = score(record), id
      buffered_ids[id] = true
    else
      redis.call('ZADD', pending, score(record), id)
    end
  end
  index_expiry(id, record)
end

-- Whether this call has notified keepers of a task that is due first. They see all others too.
local due_notified = false

-- Moves a task to scheduled or retry, due at `run`.
local function later(id, record, state, run)
  record[STATE], record[RUN] = state, run
  save(id, record)
  redis.call('ZADD', index_of[state], run, id)
  if not due_notified and redis.call('ZRANK', index_of[state], id) == 0 then
    due_notified = true
    notify('due')
  end
  index_expiry(id, record)
end

local function block(id, record)
  record[STATE] = BLOCKED
  save(id, record)
  redis.call('ZADD', blocked, record[CREATED], id)
  index_expiry(id, record)
end

local function group_in(id, record)
  record[STATE] = GROUPED
  save(id, record)
  redis.call('ZADD', grouped, 0, member(record[RELATIONS][GROUP], record[SEQ], id))
  touched_groups[record[RELATIONS][GROUP]] = true
  index_expiry(id, record)
end
