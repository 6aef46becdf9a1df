-- batch: grouped -> -; - -> pending
-- Makes of groups that are due one ready task each, which holds their members.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then ids for the new tasks
-- RETURNS  how many were made; ms until the next group is due, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now = clock(ARGV[1])
local made, batched = 0, 0

-- The members of a group that may go into its next batch: {id, record, the entry} each; nil
-- when a newer format is among them, which makes the batch then.
local function members_of(group)
  local those = {}
  for i, entry in ipairs(beginning(grouped, prefix(group), rule_of(group)[RULE_MAX_SIZE])) do
    local local_id = entry:sub(#group + 18)
    local record, newer = load(local_id)
    if newer then return nil end
    those[i] = {local_id, record, entry}
  end
  return those
end

local skipped = 0

-- The first group that is due, and its members.
local function next_group()
  while skipped < PASSED do
    local group = redis.call('ZRANGEBYSCORE', groups, '-inf', now, 'LIMIT', skipped, 1)[1]
    local those = group and members_of(group)
    if those or not group then return group, those end
    skipped, passed[groups] = skipped + 1, true
  end
  return nil
end

-- Takes members out of their group, in order, as many as fit; gives them and a record for all.
local function gather(those)
  local found, size = {}, 0
  local record = {0, 100, 0, 0, 0, now, now, 0, 0, '', 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
  for _, each in ipairs(those) do
    local local_id, one, entry = each[1], each[2], each[3]
    local envelope = envelope_of(local_id, one)
    if one and envelope then
      size = size + #envelope
      if #found > 0 and size > MOST_BYTES then break end
      found[#found + 1] =
        {local_id, envelope, one[PRIORITY], one[MAX_RETRY], one[MAX_CRASHES], one[RETENTION]}
      record[PRIORITY] = math.min(record[PRIORITY], one[PRIORITY])
      for _, n in ipairs({MAX_RETRY, MAX_CRASHES, RETENTION}) do
        record[n] = math.max(record[n], one[n])
      end
      leave_index(local_id, one)
      unlock_unless_by_time(local_id, one)
      drop(local_id, one)
      record_entry(now, 'batch', local_id, GROUPED, 0, one)
      announce(local_id, one, 0)
    else
      -- A claim buries what cannot be decoded, and what has lost its payload.
      redis.call('ZREM', grouped, entry)
      redis.call('ZADD', pending, 0, local_id)
    end
  end
  return found, record
end

for i = 2, #ARGV do
  local group, those = next_group()
  local id = ARGV[i]
  if not group then break end
  if redis.call('HEXISTS', records, id) == 0 then
    local found, record = gather(those)
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
