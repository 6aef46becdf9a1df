-- cancel: pending, scheduled, blocked, grouped, retry -> cancelled; active -> active
-- Cancels a waiting task; for an active one, records the request and notifies its worker.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id
--          3 the code of the state in which it must be, '' for any
--          4 the latest instant in ms at which it entered it
-- RETURNS  the code of the state the task is in now, 0 for no such task; for a task of a newer
--          format, which stays as it is, the first field of its record, negated. If any task died
--          because it needs this one, an array: that code, then the id, attempt and reason of each
-- INCLUDE  clock keys record history lanes indexes terminal propagate entered
local now, id = clock(ARGV[1]), ARGV[2]
local record, newer = load(id)
if not record then return -(newer or 0) end
if not is_still(record, ARGV[3], ARGV[4]) then return 0 end
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
if #died == 0 then return record[STATE] end
return add_died({record[STATE]})
