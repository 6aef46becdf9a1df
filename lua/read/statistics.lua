-- statistics: no edge
-- Reads how many bytes are kept of the queue's numbers over time, and of its attempts by type.
-- KEYS     1 series  2 types
-- ARGV     none
-- RETURNS  bytes of the series, bytes of the types: names and values of their fields, and what each
--          field takes beside
local function size_of(key)
  local size = 0
  for _, field in ipairs(redis.call('HKEYS', key)) do
    size = size + #field + redis.call('HSTRLEN', key, field) + TYPE_STEP_BYTES
  end
  return size
end
return {size_of(KEYS[1]), size_of(KEYS[2])}
