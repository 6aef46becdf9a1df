-- revive: dead, cancelled -> pending, blocked, grouped
-- Makes tasks ready again, as if new except for their deliveries; `expires` is dropped.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the code of the state in which a task must be,
--          '' for any  3 the latest instant in ms at which it entered it; then ids
-- RETURNS  per id the code of the state the task is in now, 0 for no such task; for a task of a
--          newer format, which stays as it is, the first field of its record, negated
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake entered
local now = clock(ARGV[1])

local function needed(id)
  return redis.call('ZRANGEBYLEX', needs, '[' .. prefix(id), '(' .. prefix(id) .. '\255')
end

-- Returns whether a task of this queue that this one needs did not complete.
local function failed(id)
  for _, entry in ipairs(needed(id)) do
    local queue, local_id = split(entry:sub(#id + 2))
    if not queue then
      local state = state_of(local_id)
      if not state or state == DEAD or state == CANCELLED or state == GROUPED then return true end
    end
  end
  return false
end

local function revivable(id, record)
  if record[STATE] ~= DEAD and record[STATE] ~= CANCELLED then return false end
  local relations = record[RELATIONS]
  if not relations then return true end
  if relations[UNIQUE] ~= '' and relations[UNTIL] ~= UNTIL_EXPIRED then
    if holder_of(relations[UNIQUE], now) then return false end
  end
  return relations[RUN_ON_DEPENDENCY_FAILURE] == 1 or relations[WAITS] == 0 or not failed(id)
end

local answers = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local record, newer = load(id)
  if record and not is_still(record, ARGV[2], ARGV[3]) then record = nil end
  if record and revivable(id, record) then
    local relations, was = record[RELATIONS], record[STATE]
    leave_index(id, record)
    record[ATTEMPT], record[CRASHES], record[SNOOZES], record[CANCEL] = 0, 0, 0, 0
    record[NONCE], record[ERROR], record[EXPIRES] = '', '', 0
    record[RUN], record[FINISHED] = now, 0
    if relations and relations[UNIQUE] ~= '' and relations[UNTIL] ~= UNTIL_EXPIRED then
      lock(relations[UNIQUE], id, 0)
      relations[OWNS_UNIQUE_KEY] = 1
    end
    if relations and relations[WAITS] > 0 then
      block(id, record)
    else
      record[SEQ] = next_seq()
      local revived = relations and relations[GROUP] ~= '' and group_in or ready
      revived(id, record)
    end
    record_entry(now, 'revive', id, was, record[STATE], record)
    if record[STATE] == BLOCKED then
      for _, entry in ipairs(needed(id)) do check_dependency(id, entry:sub(#id + 2), now) end
      record = load(id)
    end
  end
  answers[#answers + 1] = record and record[STATE] or -(newer or 0)
end
conclude(now)
return answers
