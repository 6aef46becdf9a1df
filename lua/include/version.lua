-- The numbers of a version are priority, max_retry, max_crashes, retention and expiry.
local EXPIRY = 5

-- Returns whether a task has this envelope, and these numbers but for its expiry.
local function is_version(id, record, envelope, numbers)
  if envelope_of(id, record) ~= envelope then return false end
  for n = PRIORITY, RETENTION do
    if record[n] ~= numbers[n - 1] then return false end
  end
  return true
end
