-- The task that an answer says came in, or took another's place; nil when none did.
local function created_id(id, answer)
  if type(answer) == 'table' then return answer[1] == REPLACED and answer[2] or nil end
  return answer > 0 and id or nil
end
