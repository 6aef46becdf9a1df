-- expire: pending, scheduled, retry -> dead
-- Buries waiting tasks whose `expires` has come.
-- KEYS     1 records  2 meta  3 pending  4 scheduled  5 retry  6 dead  7 expiring
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many moved; ms until the next expires, -1 for none
-- INCLUDE  clock record finish due
local pending, scheduled, retry, dead, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local index_of = {[PENDING] = pending, [SCHEDULED] = scheduled, [RETRY] = retry}
local now = clock(ARGV[1])
local moved = 0
for _, id in ipairs(due(expiring, now, ARGV[2])) do
  redis.call('ZREM', expiring, id)
  local record = load(id)
  local index = record and index_of[record[STATE]]
  if index then
    redis.call('ZREM', index, id)
    bury(id, record, 'expired', now, dead)
    moved = moved + 1
  end
end
return {moved, next_in(now, {expiring})}
