-- cancel: pending, scheduled, retry -> cancelled; active -> active
-- Cancels a waiting task; for an active one the wish is kept and its worker told.
-- KEYS     1 records  2 meta  3 pending  4 scheduled  5 retry  6 cancelled  7 expiring
-- ARGV     1 now in ms, '' for the server's time  2 id
-- RETURNS  the code of the state the task is in now, 0 when there is none
-- INCLUDE  clock record finish
local pending, scheduled, retry = KEYS[3], KEYS[4], KEYS[5]
local cancelled, expiring = KEYS[6], KEYS[7]
local index_of = {[PENDING] = pending, [SCHEDULED] = scheduled, [RETRY] = retry}
local id = ARGV[2]
local record = load(id)
if not record then return 0 end
if record[STATE] == ACTIVE then
  record[CANCEL] = 1
  save(id, record)
  tell('cancel:' .. id)
elseif index_of[record[STATE]] then
  redis.call('ZREM', index_of[record[STATE]], id)
  redis.call('ZREM', expiring, id)
  abandon(id, record, clock(ARGV[1]), cancelled)
end
return record[STATE]
