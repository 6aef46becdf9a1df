-- repair_task: no edge
-- Lists a task where its record says, and nowhere else; or removes what is left of a task without
-- a record.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 what to do: 'list', 'unlist', 'move',
--          'expiry' or 'forget'  3 id
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes indexes terminal index_position
local now, what, id = clock(ARGV[1]), ARGV[2], ARGV[3]
local raw = redis.call('HGET', records, id)
local record = raw and decode(raw)
local known = record and (index_of[record[STATE]] or record[STATE] == GROUPED)
if raw and not known then return 0 end
if not record and what ~= 'forget' then return 0 end

-- Returns the indexes that list the task though its record names another one.
local function elsewhere()
  local found, local_id = {}, position_of(id, record)
  for _, index in pairs(index_of) do
    if index ~= local_id and redis.call('ZSCORE', index, id) then found[#found + 1] = index end
  end
  return found
end

-- Returns the score that the record implies; nil for a state whose score only its index has.
local function expected_score()
  local state = record[STATE]
  if state == SCHEDULED or state == RETRY then return record[RUN] end
  if state == BLOCKED then return record[CREATED] end
  if state == DEAD then return record[FINISHED] end
  return state == PENDING and score(record) or nil
end

-- Returns whether the task may still be claimed.
local function waits()
  return record[STATE] <= PENDING or record[STATE] == RETRY
end

-- Returns whether `keyed` or `grouped` lists the task as if it had another state.
local function is_member()
  local relations, state = record[RELATIONS], record[STATE]
  if not relations then return false end
  local lane = member(relations[LIMIT_KEY], score(record), id)
  local group = member(relations[GROUP], record[SEQ], id)
  return state ~= PENDING and redis.call('ZSCORE', keyed, lane)
    or state ~= GROUPED and redis.call('ZSCORE', grouped, group)
end

local function list()
  if index_position(id, record) or elsewhere()[1] or is_member() then return 0 end
  if waits() and not envelope_of(id, record) then return 0 end
  local index, entry = position_of(id, record)
  local at, state, keep = expected_score(), record[STATE], record[RETENTION]
  if index == keyed or index == grouped then
    at = 0
  elseif state == ACTIVE then
    -- The worker that holds the lease renews it before; without one, the task is reclaimed then.
    at = now + CANCELLED_GRACE_MS
  elseif state == COMPLETED or state == CANCELLED then
    if state == CANCELLED or marked(record, HAS_WAITERS) then
      keep = math.max(keep, CANCELLED_GRACE_MS)
    end
    at = record[FINISHED] + keep
  end
  redis.call('ZADD', index, at, entry)
  if index == keyed then touched[record[RELATIONS][LIMIT_KEY]] = true end
  if index == grouped then touched_groups[record[RELATIONS][GROUP]] = true end
  notify('wake')
  notify('due')
  return 1
end

local function unlist()
  if not index_position(id, record) then return 0 end
  local found = elsewhere()
  for _, index in ipairs(found) do redis.call('ZREM', index, id) end
  return math.min(1, #found)
end

local function move()
  local at, index = index_position(id, record), position_of(id, record)
  if not at or index == keyed or index == grouped then return 0 end
  if not expected_score() or tonumber(at) == expected_score() then return 0 end
  redis.call('ZADD', index, expected_score(), id)
  notify('wake')
  notify('due')
  return 1
end

local function expiry()
  local listed = tonumber(redis.call('ZSCORE', expiring, id) or 0)
  if waits() and record[EXPIRES] > 0 then
    if listed == record[EXPIRES] then return 0 end
    index_expiry(id, record)
    return 1
  end
  return redis.call('ZREM', expiring, id)
end

local function forget()
  if raw or redis.call('HEXISTS', payloads, id) == 1 then return 0 end
  local removed = redis.call('ZREM', expiring, id)
  for _, index in pairs(index_of) do removed = removed + redis.call('ZREM', index, id) end
  for _, key in ipairs({results, progress, inputs, steps, attempts}) do
    removed = removed + redis.call('HDEL', key, id)
  end
  remove_relations(id)
  return math.min(1, removed)
end

local actions = {list = list, unlist = unlist, move = move, expiry = expiry, forget = forget}
local changed = actions[what]()
touch_lanes(now)
touch_groups()
return changed
