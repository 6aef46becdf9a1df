-- reschedule: scheduled, retry, pending -> scheduled; scheduled, retry -> pending
-- Makes a waiting task due at another time, pending if that is not later; any other task stays.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id  3 delay in ms  4 the instant in ms, which
--          precedes the delay; 0 for none
-- RETURNS  the codes of the states before and after, each 0 for no task; for a task of a newer
--          format, which stays as it is, the first field of its record, negated, and 0
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local now, id, run = clock(ARGV[1]), ARGV[2], tonumber(ARGV[4])
local record, newer = load(id)
if not record then return {-(newer or 0), 0} end
if run == 0 then run = now + tonumber(ARGV[3]) end
local was = record[STATE]
if was ~= SCHEDULED and was ~= RETRY and was ~= PENDING then return {was, was} end
if run > now then
  leave_index(id, record)
  later(id, record, SCHEDULED, run)
elseif was ~= PENDING then
  leave_index(id, record)
  record[RUN], record[SEQ] = now, next_seq()
  ready(id, record)
else
  return {was, was}
end
record_entry(now, 'reschedule', id, was, record[STATE], record)
conclude(now)
return {was, record[STATE]}
