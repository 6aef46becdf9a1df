-- The index that the record of a task names, and the member that stands for it there.
local function seat_of(id, record)
  local state, ties = record[STATE], record[TIES]
  if state == GROUPED and ties then
    return grouped, member(ties[GROUP], record[SEQ], id)
  elseif state == PENDING and ties and ties[LIMIT_KEY] ~= '' then
    return keyed, member(ties[LIMIT_KEY], place(record), id)
  end
  return index_of[state], id
end

-- Where the task is listed, as its record says; nil when it is not.
local function listed_at(id, record)
  local index, entry = seat_of(id, record)
  return index and redis.call('ZSCORE', index, entry) or nil
end
