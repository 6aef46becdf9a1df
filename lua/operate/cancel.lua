-- cancel: pending, scheduled, blocked, grouped, retry -> cancelled; active -> active
-- Cancels a waiting task; for an active one the request is stored and its worker notified.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id
-- RETURNS  the code of the state the task is in now, 0 when there is none, below 0 what the
--          record of a newer format begins with: it stays as it is
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local now, id = clock(ARGV[1]), ARGV[2]
local record, newer = load(id)
if not record then return -(newer or 0) end
if record[STATE] == ACTIVE then
  record[CANCEL] = 1
  save(id, record)
  notify('cancel:' .. id)
  record_entry(now, 'cancel', id, ACTIVE, ACTIVE, record)
elseif record[STATE] <= PENDING or record[STATE] == RETRY then
  local was = record[STATE]
  leave_index(id, record)
  make_cancelled(id, record, now)
  record_entry(now, 'cancel', id, was, CANCELLED, record)
end
conclude(now)
return record[STATE]
