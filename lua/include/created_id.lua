-- Returns the id of the task that an enqueue added or replaced, by its answer; nil for neither.
local function created_id(id, answer)
  if type(answer) == 'table' then return answer[1] == REPLACED and answer[2] or nil end
  return answer > 0 and id or nil
end
