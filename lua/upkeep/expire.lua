-- expire: pending, scheduled, blocked, grouped, retry -> dead
-- Moves waiting tasks that have expired to dead.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many tasks moved; ms until the next one expires, -1 for none; then of each of them,
--          and of those that died because of one, id, attempt and reason
-- INCLUDE  clock keys record history lanes indexes terminal propagate due deaths
local now = clock(ARGV[1])
local moved, reply = 0, {0, 0}
local ids, found = due_tasks(expiring, now, tonumber(ARGV[2]))
for i, id in ipairs(ids) do
  local record = found[i]
  if record and (record[STATE] <= PENDING or record[STATE] == RETRY) then
    local was = record[STATE]
    leave_index(id, record)
    bury(id, record, EXPIRED, now)
    record_entry(now, 'expire', id, was, DEAD, record)
    add_death(reply, id, record)
    moved = moved + 1
  else
    redis.call('ZREM', expiring, id)
  end
end
conclude(now)
reply[1], reply[2] = moved, next_in(now, {expiring})
return add_died(reply)
