-- renew: active -> active
-- Prolongs each lease that is still held, also one that lapsed but was not reclaimed.
-- KEYS     1 records  2 meta  3 active
-- ARGV     1 now in ms, '' for the server's time  2 lease in ms; then three per lease:
--          id, deliveries, nonce
-- RETURNS  per lease: 0 lost, 1 kept, 2 kept and its handler is to be cancelled
-- INCLUDE  clock record fence
local active = KEYS[3]
local till = clock(ARGV[1]) + tonumber(ARGV[2])
local verdicts = {}
for i = 3, #ARGV, 3 do
  local record = held(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  local verdict = LEASE_LOST
  if record and record[STATE] == ACTIVE then
    redis.call('ZADD', active, till, ARGV[i])
    verdict = record[CANCEL] == 1 and LEASE_CANCEL or LEASE_KEPT
  end
  verdicts[#verdicts + 1] = verdict
end
return verdicts
