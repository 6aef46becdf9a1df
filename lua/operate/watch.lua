-- watch: no edge
-- Records that someone waits for a task's end: the end is published, and the task kept for a while.
-- KEYS     1 records  2 meta
-- ARGV     1 id
-- RETURNS  the code of the task's state, 0 for no task; for a task of a newer format, which stays
--          as it is, the first field of its record, negated
-- INCLUDE  record
local record, newer = load(ARGV[1])
if not record then return -(newer or 0) end
if record[STATE] < COMPLETED and not marked(record, HAS_WAITERS) then
  mark(record, HAS_WAITERS)
  save(ARGV[1], record)
end
return record[STATE]
