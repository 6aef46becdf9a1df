-- expire: pending, scheduled, blocked, grouped, retry -> dead
-- Moves waiting tasks that have expired to dead.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many tasks moved; ms until the next one expires, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now = clock(ARGV[1])
local moved = 0
local ids, found = due_tasks(expiring, now, tonumber(ARGV[2]))
for i, id in ipairs(ids) do
  local record = found[i]
  if record and (record[STATE] <= PENDING or record[STATE] == RETRY) then
    local was = record[STATE]
    leave_index(id, record)
    bury(id, record, EXPIRED, now)
    record_entry(now, 'expire', id, was, DEAD, record)
    moved = moved + 1
  else
    redis.call('ZREM', expiring, id)
  end
end
conclude(now)
return {moved, next_in(now, {expiring})}
