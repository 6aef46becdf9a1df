-- batch: grouped -> -; - -> pending
-- Turns each group that is due into one ready task that holds the members.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the caller's rules, a msgpack array: name or
--          prefix ('user:*') of groups and rule, packed as in `rules`, in turn; then ids for the
--          new tasks
-- RETURNS  how many tasks were made; ms until the next group is due, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now = clock(ARGV[1])
local made, batched = 0, 0

-- The members of a group that may go into its next batch: {id, record, index entry} each. nil
-- if one has a newer format: only the version that wrote it makes this batch.
local function members_of(group)
  local members = {}
  for i, entry in ipairs(with_prefix(grouped, prefix(group), rule_of(group)[RULE_MAX_SIZE])) do
    local local_id = entry:sub(#group + 18)
    local record, newer = load(local_id)
    if newer then return nil end
    members[i] = {local_id, record, entry}
  end
  return members
end

local given, changed = cmsgpack.unpack(ARGV[2]), 0

-- Returns the caller's rule for a group: of its name, else of the longest prefix; nil for none.
local function matching(group)
  local longest, found = -1, nil
  for n = 1, #given, 2 do
    local name, rule = given[n], given[n + 1]
    if name == group then return rule end
    if #name > longest and name:sub(-1) == '*' and group:sub(1, #name - 1) == name:sub(1, -2) then
      longest, found = #name, rule
    end
  end
  return found
end

-- Sets the caller's rule for a group. Returns whether that changed it.
local function set_rule(group)
  local rule = matching(group)
  if not rule or redis.call('HGET', rules, group) == rule then return false end
  redis.call('HSET', rules, group, rule)
  touched_groups[group] = true
  touch_groups()
  changed = changed + 1
  return true
end

local skipped = 0

-- Returns the first group that is due by the caller's rule, and its members.
local function next_group()
  while skipped < PASSED and changed < RULES_AT_ONCE do
    local group = redis.call('ZRANGEBYSCORE', groups, '-inf', now, 'LIMIT', skipped, 1)[1]
    if not group then return nil end
    if not set_rule(group) then
      local members = members_of(group)
      if members then return group, members end
      skipped, passed[groups] = skipped + 1, true
    end
  end
  return nil
end

-- Takes members out of their group, in order, as many as fit. Returns them and the batch's record.
local function gather(members)
  local found, size = {}, 0
  local record = {0, 100, 0, 0, 0, now, now, 0, 0, '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
  for _, each in ipairs(members) do
    local local_id, own, entry = each[1], each[2], each[3]
    local envelope = envelope_of(local_id, own)
    if own and envelope then
      size = size + #envelope
      if #found > 0 and size > MOST_BYTES then break end
      found[#found + 1] =
        {local_id, envelope, own[PRIORITY], own[MAX_RETRY], own[MAX_CRASHES], own[RETENTION]}
      record[PRIORITY] = math.min(record[PRIORITY], own[PRIORITY])
      for _, n in ipairs({MAX_RETRY, MAX_CRASHES, RETENTION}) do
        record[n] = math.max(record[n], own[n])
      end
      leave_index(local_id, own)
      unlock_unless_by_time(local_id, own)
      remove_task(local_id, own)
      record_entry(now, 'batch', local_id, GROUPED, 0, own)
      announce(local_id, own, 0)
    else
      -- A claim buries a task that cannot be decoded, or has lost its payload.
      redis.call('ZREM', grouped, entry)
      redis.call('ZADD', pending, 0, local_id)
    end
  end
  return found, record
end

for i = 3, #ARGV do
  local group, members = next_group()
  local id = ARGV[i]
  if not group then break end
  if redis.call('HEXISTS', records, id) == 0 then
    local found, record = gather(members)
    if #found > 0 then
      set_envelope(id, record, cmsgpack.pack({BATCH_VERSION, group, found}))
      record[SEQ] = next_seq()
      ready(id, record)
      record_entry(now, 'batch', id, 0, PENDING, record)
      made, batched = made + 1, batched + #found
    end
    touched_groups[group] = true
    touch_groups()
  end
end
if made > 0 then
  count('enqueued', made)
  count('batched', batched)
end
conclude(now)
return {made, next_in(now, {groups})}
