-- Returns the index that the record of a task names, and the task's member there.
local function position_of(id, record)
  local state, relations = record[STATE], record[RELATIONS]
  if state == GROUPED and relations then
    return grouped, member(relations[GROUP], record[SEQ], id)
  elseif state == PENDING and relations and relations[LIMIT_KEY] ~= '' then
    return keyed, member(relations[LIMIT_KEY], score(record), id)
  end
  return index_of[state], id
end

-- Returns the score of a task in the index that its record names; nil when it is not there.
local function index_position(id, record)
  local index, entry = position_of(id, record)
  return index and redis.call('ZSCORE', index, entry) or nil
end
