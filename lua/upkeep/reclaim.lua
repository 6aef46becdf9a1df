-- reclaim: active -> pending, dead, cancelled
-- Takes lapsed leases back: the crash is counted, the attempt is not.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many moved; ms until the next lease runs out, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due wake_on_slot
local now = clock(ARGV[1])
local lapsed, found = due_tasks(active, now, tonumber(ARGV[2]))
for i, id in ipairs(lapsed) do
  local record = found[i]
  if not record then
    -- A claim buries what cannot be decoded.
    redis.call('ZREM', active, id)
    redis.call('ZADD', pending, 0, id)
  else
    local till = redis.call('ZSCORE', active, id)
    leave_index(id, record)
    record[CRASHES] = record[CRASHES] + 1
    record[ATTEMPT] = record[ATTEMPT] - 1
    record[NONCE] = ''
    if record[CANCEL] == 1 then
      make_cancelled(id, record, now)
    elseif record[CRASHES] > record[MAX_CRASHES] then
      bury(id, record, string.format(WORKER_DIED, record[CRASHES]), now)
    else
      ready(id, record)
    end
    record_entry(now, 'reclaim', id, ACTIVE, record[STATE], record, tonumber(till))
  end
end
wake_on_slot(#lapsed > 0)
conclude(now)
return {#lapsed, next_in(now, {active})}
