-- flush: pending, scheduled, retry, active, completed, dead, cancelled -> -
-- Removes every task in one step, the active ones too: their outcomes will be stale.
-- KEYS     1 records  2 meta  3 payloads  4 results  5 progress  6 expiring  7 pending
--          8 scheduled  9 retry  10 active  11 completed  12 dead  13 cancelled
-- ARGV     none
-- RETURNS  how many tasks went
-- INCLUDE  record
local gone = redis.call('HLEN', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7],
  KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13])
if gone > 0 then count('deleted', gone) end
tell('flush')
return gone
