-- Keeps the records of a task's last attempts in one field: each is an array in the order of
-- ATTEMPT_FIELDS. A detail that is the same as that of the attempt before is stored as `true`.

-- Returns the detail of an attempt, or of the one before with which it shares it.
local function detail_of(known, n)
  while n > 1 and type(known[n]) == 'table' and known[n][ATTEMPT_DETAIL] == true do n = n - 1 end
  return type(known[n]) == 'table' and known[n][ATTEMPT_DETAIL]
end

-- Adds the record of an attempt that ends now, while the task's record still says it is active. The
-- kind of a failure is the last field, by which `scan` finds it; nil without one.
local function record_attempt(id, record, now, transition, detail, kind)
  -- Without a field, or with a damaged one, `known` is an error's text, which is no table.
  local _, known = pcall(cmsgpack.unpack, redis.call('HGET', attempts, id))
  if type(known) ~= 'table' then known = {} end
  if #known >= ATTEMPTS_KEPT then
    local shared = detail_of(known, 2)
    table.remove(known, 1)
    if type(known[1]) == 'table' then known[1][ATTEMPT_DETAIL] = shared end
  end
  if detail == detail_of(known, #known) then detail = true end
  known[#known + 1] = {
    record[ATTEMPT], record[DELIVERIES], record[WORKER], record[STARTED], now, transition, detail,
    kind,
  }
  redis.call('HSET', attempts, id, cmsgpack.pack(known))
end
