-- claim: pending -> active, dead
-- Leases the first ready tasks to a worker; expired and undecodable ones go to dead.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000  3 lease in ms
--          4 worker  5 nonce, 8 bytes
-- RETURNS  how many a further claim would find at least (0 when paused), or below 0 what the
--          record of the next task begins with, where that is of a newer format: it stays, and
--          so do all tasks after it; end of the leases in ms; then five per lease: id,
--          deliveries, attempt, max_retry, envelope
-- INCLUDE  clock keys record history lanes indexes terminal propagate
local set = redis.call('HMGET', meta, 'paused', 'fair', 'history')
if set[1] == '1' then return {0, 0} end
local now, limit, fair = clock(ARGV[1]), tonumber(ARGV[2]), set[2] == '1'
local till = now + tonumber(ARGV[3])
local reply = {0, till}
local saved, leases = {}, {}
kept = tonumber(set[3] or 0)

-- Buries a task, or leases it; says which.
local function hand_out(id, record)
  local reason, envelope = nil, envelope_of(id, record)
  if not record then
    redis.call('ZREM', expiring, id)
    drop_relations(id)
    -- Whoever waits for it is told: nobody knows any more whether there is one.
    record = {0, 50, 0, 0, 0, now, now, 0, 0, '', 0, 0, 0, 0, '', '', 0,
              HAS_WAITERS + HAS_DEPENDENTS, 0, 0, ''}
    reason = UNREADABLE_RECORD
  elseif not envelope then
    reason = PAYLOAD_MISSING
  elseif record[EXPIRES] > 0 and record[EXPIRES] <= now then
    reason = EXPIRED
  end
  if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end
  if reason then
    bury(id, record, reason, now)
    record_entry(now, 'claim', id, PENDING, DEAD, record)
    return false
  end
  record[STATE], record[STARTED] = ACTIVE, now
  record[DELIVERIES], record[ATTEMPT] = record[DELIVERIES] + 1, record[ATTEMPT] + 1
  record[WORKER], record[NONCE] = ARGV[4], ARGV[5]
  if record[RELATIONS] then
    if record[RELATIONS][UNTIL] == STARTED_ONCE then unlock(id, record) end
    local key = record[RELATIONS][LIMIT_KEY]
    if key ~= '' then redis.call('HINCRBY', permits, key, 1) end
  end
  record_entry(now, 'claim', id, PENDING, ACTIVE, record, till)
  saved[#saved + 1], saved[#saved + 2] = id, cmsgpack.pack(record)
  leases[#leases + 1], leases[#leases + 2] = till, id
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = id, record[DELIVERIES], record[ATTEMPT]
  reply[n + 4], reply[n + 5] = record[MAX_RETRY], envelope
  return true
end

local function read(raw)
  if raw then return decode(raw) end
  return nil
end

local whole, stopped_by = limit_of(''), nil
open_due(now)
local running = whole and redis.call('ZCARD', active) or 0

-- Whether the queue's own limit allows another start.
local function allowed()
  if not whole then return true end
  if whole[LIMIT_CONCURRENCY] > 0 and running >= whole[LIMIT_CONCURRENCY] then return false end
  return free_at(whole, '') <= now
end

if not whole and not fair and redis.call('EXISTS', lanes) == 0 then
  local ids, taken = redis.call('ZRANGE', pending, 0, limit - 1), 0
  if #ids > 0 then
    local raws = redis.call('HMGET', records, unpack(ids))
    for i, id in ipairs(ids) do
      local record, newer = read(raws[i])
      if newer then
        stopped_by = newer
        break
      end
      hand_out(id, record)
      taken = i
    end
    if taken > 0 then redis.call('ZREMRANGEBYRANK', pending, 0, taken - 1) end
  end
else
  for _ = 1, limit do
    if not allowed() then break end
    local plain = redis.call('ZRANGE', pending, 0, 0, 'WITHSCORES')
    local lane = redis.call('ZRANGE', lanes, 0, 0, 'WITHSCORES')
    local key, id = lane[1], plain[1]
    if id and key then
      local at = plain[2]
      if fair then at = redis.call('HGET', turns, '') or 0 end
      if tonumber(at) <= tonumber(lane[2]) then key = nil end
    end
    local first = id
    if key then
      local start = prefix(key)
      first = beginning(keyed, start, 1)[1]
      id = first:sub(#start + 17)
    elseif not id then
      break
    end
    local record, newer = read(redis.call('HGET', records, id))
    if newer then
      stopped_by = newer
      break
    end
    redis.call('ZREM', key and keyed or pending, first)
    if key or fair then
      redis.call('HSET', turns, key or '', redis.call('HINCRBY', meta, 'turn', 1))
    end
    if hand_out(id, record) then
      running = running + 1
      charge(whole, '', now)
      if key then charge(limit_of(key), key, now) end
    end
    if key then open_or_throttle(key, now) end
  end
end
if #saved > 0 then
  redis.call('HSET', records, unpack(saved))
  redis.call('ZADD', active, unpack(leases))
end
conclude(now)
if stopped_by then
  reply[1] = -stopped_by
elseif allowed() then
  reply[1] = redis.call('ZCARD', pending) + redis.call('ZCARD', lanes)
elseif free_at(whole, '') > now then
  notify('due')
end
return reply
