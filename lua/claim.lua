-- claim: pending -> active, dead
-- Leases the first ready tasks to a worker; expired and undecodable ones go to dead.
-- KEYS     1 records  2 meta  3 payloads  4 pending  5 active  6 dead  7 expiring
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000  3 lease in ms
--          4 worker  5 nonce, 8 bytes
-- RETURNS  pending tasks left (0 when paused), end of the leases in ms; then five per
--          lease: id, deliveries, attempt, max_retry, envelope
-- INCLUDE  clock record finish
local payloads, pending, active, dead, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
if redis.call('HGET', KEYS[2], 'paused') == '1' then return {0, 0} end
local now = clock(ARGV[1])
local till = now + tonumber(ARGV[3])
local reply = {0, till}

local popped = redis.call('ZPOPMIN', pending, ARGV[2])
if #popped == 0 then return reply end
local ids = {}
for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
local raws = redis.call('HMGET', KEYS[1], unpack(ids))
local envelopes = redis.call('HMGET', payloads, unpack(ids))

local records, leases = {}, {}
for i, id in ipairs(ids) do
  local record = raws[i] and decode(raws[i])
  local reason = nil
  if not record then
    redis.call('ZREM', expiring, id)
    record = {0, 50, 0, 0, 0, now, now, 0, 0, 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
    reason = 'its record cannot be decoded'
  elseif not envelopes[i] then
    reason = 'its payload is missing'
  elseif record[EXPIRES] > 0 and record[EXPIRES] <= now then
    reason = 'expired'
  end
  if not envelopes[i] then redis.call('HSET', payloads, id, '') end
  if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end
  if reason then
    bury(id, record, reason, now, dead)
  else
    record[STATE], record[STARTED] = ACTIVE, now
    record[DELIVERIES], record[ATTEMPT] = record[DELIVERIES] + 1, record[ATTEMPT] + 1
    record[WORKER], record[NONCE] = ARGV[4], ARGV[5]
    records[#records + 1], records[#records + 2] = id, cmsgpack.pack(record)
    leases[#leases + 1], leases[#leases + 2] = till, id
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = id, record[DELIVERIES], record[ATTEMPT]
    reply[n + 4], reply[n + 5] = record[MAX_RETRY], envelopes[i]
  end
end
if #records > 0 then
  redis.call('HSET', KEYS[1], unpack(records))
  redis.call('ZADD', active, unpack(leases))
end
reply[1] = redis.call('ZCARD', pending)
return reply
