-- Keeps the records of a task's last attempts in one field: each is an array in the order of
-- ATTEMPT_FIELDS.

-- Adds the record of an attempt that ends now, while the task's record still says it is active. The
-- kind of a failure is the last field, by which `scan` finds it; nil without one.
local function record_attempt(id, record, now, transition, detail, kind)
  -- Without a field, or with a damaged one, `known` is an error's text, which is no table.
  local _, known = pcall(cmsgpack.unpack, redis.call('HGET', attempts, id))
  if type(known) ~= 'table' then known = {} end
  if #known >= ATTEMPTS_KEPT then table.remove(known, 1) end
  known[#known + 1] = {
    record[ATTEMPT], record[DELIVERIES], record[WORKER], record[STARTED], now, transition, detail,
    kind,
  }
  redis.call('HSET', attempts, id, cmsgpack.pack(known))
end
