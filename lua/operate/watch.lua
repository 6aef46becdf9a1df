-- watch: no edge
-- Records that a caller waits for a task's end: it is signalled, and kept for a while.
-- KEYS     1 records  2 meta
-- ARGV     1 id
-- RETURNS  the code of the task's state, 0 when there is none, below 0 what the record of a
--          newer format begins with: it stays as it is
-- INCLUDE  record
local record, newer = load(ARGV[1])
if not record then return -(newer or 0) end
if record[STATE] < COMPLETED and not marked(record, HAS_WAITERS) then
  mark(record, HAS_WAITERS)
  save(ARGV[1], record)
end
return record[STATE]
