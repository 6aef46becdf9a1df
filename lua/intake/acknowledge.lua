-- acknowledge: no edge
-- Forgets messages that have arrived, and notes with completed tasks which children were refused.
-- KEYS     1 records  2 meta  3 outbox
-- ARGV     1 the number of the last that has arrived; then two per child that its queue refused:
--          the id of the task that asked for it, and the child's queue and id as text
-- RETURNS  how many are left
-- INCLUDE  record
for i = 2, #ARGV, 2 do
  local id, ref = ARGV[i], ARGV[i + 1]
  local record = load(id)
  if record and record[STATE] == COMPLETED then
    local note = record[ERROR]
    -- The text before the ids has one comma, too.
    local _, named = note:gsub(', ', '')
    if note == '' then
      record[ERROR] = string.format(NOT_ENQUEUED, ref)
    elseif named < NOT_ENQUEUED_NAMED and not (note .. ','):find(' ' .. ref .. ',', 1, true) then
      record[ERROR] = note .. ', ' .. ref
    end
    save(id, record)
  end
end
-- Counted before the removal: while a slot moves, a script must not read a key that it emptied.
local left = redis.call('ZCOUNT', KEYS[3], '(' .. ARGV[1], '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
return left
