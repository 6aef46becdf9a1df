-- reclaim: active -> pending, dead, cancelled
-- Ends leases that have run out: the crash is counted, the attempt is not.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many tasks moved; ms until the next lease runs out, -1 for none; then of each task
--          that is dead now id, attempt and reason
-- INCLUDE  clock keys record history lanes indexes terminal propagate due deaths attempts
--          wake_on_slot
local now = clock(ARGV[1])
local lapsed, found = due_tasks(active, now, tonumber(ARGV[2]))
local reply = {#lapsed, 0}
for i, id in ipairs(lapsed) do
  local record = found[i]
  if not record then
    -- A claim buries a task that cannot be decoded.
    redis.call('ZREM', active, id)
    redis.call('ZADD', pending, 0, id)
  else
    local lease_end = redis.call('ZSCORE', active, id)
    leave_index(id, record)
    record_attempt(id, record, now, 'reclaim', '')
    record[CRASHES] = record[CRASHES] + 1
    record[ATTEMPT] = record[ATTEMPT] - 1
    record[NONCE] = ''
    if record[CANCEL] == 1 then
      make_cancelled(id, record, now)
    elseif record[CRASHES] > record[MAX_CRASHES] then
      bury(id, record, string.format(WORKER_DIED, record[CRASHES]), now)
      add_death(reply, id, record)
    else
      ready(id, record)
    end
    record_entry(now, 'reclaim', id, ACTIVE, record[STATE], record, tonumber(lease_end))
  end
end
wake_on_slot(#lapsed > 0)
conclude(now)
reply[2] = next_in(now, {active})
return add_died(reply)
