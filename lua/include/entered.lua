-- Returns when a task entered its state, as far as its record tells: never later than it did.
local function entered(record)
  if record[FINISHED] > 0 then return record[FINISHED] end
  local at = math.max(record[CREATED], record[STARTED])
  return record[STATE] == PENDING and math.max(at, record[RUN]) or at
end

-- Returns whether a task is in a state, '' for any, that it entered at an instant or before.
local function is_still(record, state, by)
  if state == '' then return true end
  return record[STATE] == tonumber(state) and entered(record) <= tonumber(by)
end
