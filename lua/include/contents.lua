-- Returns all that is stored of a task: record, envelope, result, progress, inputs, steps, attempts,
-- and its score as text in active, completed or cancelled; each '' when missing.
local content_keys = {records, payloads, results, progress, inputs, steps, attempts}

local function contents_of(id)
  local found = {}
  for n, key in ipairs(content_keys) do
    found[n] = redis.call('HGET', key, id) or ''
  end
  found[#found + 1] = redis.call('ZSCORE', active, id) or redis.call('ZSCORE', completed, id)
    or redis.call('ZSCORE', cancelled, id) or ''
  return found
end
