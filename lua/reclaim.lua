-- reclaim: active -> pending, dead, cancelled
-- Takes lapsed leases back: the crash is counted, the attempt is not.
-- KEYS     1 records  2 meta  3 active  4 pending  5 dead  6 cancelled  7 expiring
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many moved; ms until the next lease runs out, -1 for none
-- INCLUDE  clock record finish requeue due
local active, pending, dead, cancelled, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local now = clock(ARGV[1])
local lapsed = due(active, now, ARGV[2])
for _, id in ipairs(lapsed) do
  redis.call('ZREM', active, id)
  local record = load(id)
  if not record then
    -- A claim buries what cannot be decoded.
    redis.call('ZADD', pending, 0, id)
  else
    record[CRASHES] = record[CRASHES] + 1
    record[ATTEMPT] = record[ATTEMPT] - 1
    record[NONCE] = ''
    if record[CANCEL] == 1 then
      abandon(id, record, now, cancelled)
    elseif record[CRASHES] > record[MAX_CRASHES] then
      bury(id, record, 'its worker died under it ' .. record[CRASHES] .. ' times', now, dead)
    else
      ready(id, record, pending, expiring)
    end
  end
end
return {#lapsed, next_in(now, {active})}
