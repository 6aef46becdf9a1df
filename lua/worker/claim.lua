-- claim: pending -> active, dead
-- Leases the first ready tasks to a worker; expired and undecodable tasks become dead.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000  3 lease in ms
--          4 worker  5 nonce, 8 bytes
-- RETURNS  how many tasks a further claim would find at least, 0 when paused; or, if the next task
--          is of a newer format and so stays with those after it, the first field of its record,
--          negated; the end of the leases in ms; if no task remains, ms until a rate allows a
--          start, else or if none waits for one, -1; then six per lease: id, deliveries, attempt,
--          max_retry, envelope, when it was due; then, if any task is dead now, an array of the id,
--          attempt and reason of each
-- INCLUDE  clock keys record history lanes indexes terminal propagate deaths
local settings = redis.call('HMGET', meta, 'paused', 'fair', 'history')
if settings[1] == '1' then return {0, 0, -1} end
local now, limit, fair = clock(ARGV[1]), tonumber(ARGV[2]), settings[2] == '1'
local lease_end = now + tonumber(ARGV[3])
local reply = {0, lease_end, -1}
local saved_records, leases, deaths, lanes_changed = {}, {}, {}, false
history_size = tonumber(settings[3] or 0)

-- Returns when an attempt starts: not before the task was due, if the clock was set back since.
local function start_of(record)
  return math.max(now, record[RUN])
end

-- Leases a task, or buries it. Returns true for a lease.
local function lease_or_bury(id, record)
  local reason, envelope = nil, envelope_of(id, record)
  if not record then
    redis.call('ZREM', expiring, id)
    remove_relations(id)
    -- Its record no longer says whether anyone waits for it, so all who may wait are notified.
    record = {0, 50, 0, 0, 0, now, now, 0, 0, '', 0, 0, 0, 0, '', '', 0,
              HAS_WAITERS + HAS_DEPENDENTS, 0, 0, ''}
    reason = UNREADABLE_RECORD
  elseif not envelope then
    reason = PAYLOAD_MISSING
  elseif record[EXPIRES] > 0 and record[EXPIRES] <= start_of(record) then
    reason = EXPIRED
  end
  if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end
  if reason then
    lanes_changed = true  -- a dependent may have come into one
    bury(id, record, reason, now)
    record_entry(now, 'claim', id, PENDING, DEAD, record)
    add_death(deaths, id, record)
    return false
  end
  record[STATE], record[STARTED] = ACTIVE, start_of(record)
  record[DELIVERIES], record[ATTEMPT] = record[DELIVERIES] + 1, record[ATTEMPT] + 1
  record[WORKER], record[NONCE] = ARGV[4], ARGV[5]
  if record[RELATIONS] then
    if record[RELATIONS][UNTIL] == UNTIL_STARTED then unlock(id, record) end
    local key = record[RELATIONS][LIMIT_KEY]
    if key ~= '' then redis.call('HINCRBY', permits, key, 1) end
  end
  record_entry(now, 'claim', id, PENDING, ACTIVE, record, lease_end)
  saved_records[#saved_records + 1], saved_records[#saved_records + 2] = id, cmsgpack.pack(record)
  leases[#leases + 1], leases[#leases + 2] = lease_end, id
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = id, record[DELIVERIES], record[ATTEMPT]
  reply[n + 4], reply[n + 5], reply[n + 6] = record[MAX_RETRY], envelope, record[RUN]
  return true
end

local queue_limit, stopped_by = limit_of(''), nil
local lane_opens_at = open_due(now)
local running = queue_limit and redis.call('ZCARD', active) or 0

-- Returns when the queue's own limit allows another start, as far as time alone decides.
local function queue_opens_at()
  if not queue_limit then return 0 end
  local most = queue_limit[LIMIT_CONCURRENCY]
  if most > 0 and running >= most then return math.huge end
  return free_at(queue_limit, '')
end

if not queue_limit and not fair and redis.call('EXISTS', lanes) == 0 then
  local ids, taken = redis.call('ZRANGE', pending, 0, limit - 1), 0
  if #ids > 0 then
    local raws = redis.call('HMGET', records, unpack(ids))
    for i, id in ipairs(ids) do
      local record, newer = decode(raws[i])
      if newer then
        stopped_by = newer
        break
      end
      lease_or_bury(id, record)
      taken = i
    end
    if taken > 0 then redis.call('ZREMRANGEBYRANK', pending, 0, taken - 1) end
  end
else
  lanes_changed = true
  for _ = 1, limit do
    if queue_opens_at() > now then break end
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
      first = with_prefix(keyed, start, 1)[1]
      id = first:sub(#start + 17)
    elseif not id then
      break
    end
    local record, newer = load(id)
    if newer then
      stopped_by = newer
      break
    end
    redis.call('ZREM', key and keyed or pending, first)
    if key or fair then
      redis.call('HSET', turns, key or '', redis.call('HINCRBY', meta, 'turn', 1))
    end
    if lease_or_bury(id, record) then
      running = running + 1
      charge(queue_limit, '', now)
      if key then charge(limit_of(key), key, now) end
    end
    if key then open_or_throttle(key, now, true) end
  end
end
if #saved_records > 0 then
  redis.call('HSET', records, unpack(saved_records))
  redis.call('ZADD', active, unpack(leases))
end
conclude(now)
add_died(deaths)
if #deaths > 0 then reply[#reply + 1] = deaths end
local opens_at = queue_opens_at()
if stopped_by then
  reply[1] = -stopped_by
elseif opens_at <= now then
  reply[1] = redis.call('ZCARD', pending) + redis.call('ZCARD', lanes)
  if reply[1] == 0 then
    if lanes_changed then lane_opens_at = first_opening() end
    reply[3] = lane_opens_at and math.max(0, lane_opens_at - now) or -1
  end
elseif opens_at < math.huge and redis.call('EXISTS', pending, keyed) > 0 then
  reply[3] = opens_at - now
end
return reply
