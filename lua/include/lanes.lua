-- A lane is the pending tasks of one limit key. It is open while its limit allows a start, and
-- then in `lanes`, by the score of its first task, or in a fair queue by its turn. Else it is in
-- `shut`, by the time at which its rate allows a start, or +inf.
local NEVER = '+inf'

-- Returns the limit of a key, an array in the order of LIMIT_FIELDS, or nil.
local function limit_of(key)
  local raw = redis.call('HGET', limits, key)
  if not raw and key ~= '' then raw = redis.call('HGET', limits, ANY_KEY) end
  return raw and cmsgpack.unpack(raw) or nil
end

-- Returns how far ahead of a start its theoretical arrival time may be, in microseconds: the
-- maximum at which no period sees more than count + burst - 1 starts.
local function tolerance(limit)
  local most = limit[LIMIT_COUNT] + limit[LIMIT_BURST] - 1
  return most * limit[LIMIT_INTERVAL] - limit[LIMIT_PERIOD] * 1000
end

-- Returns the maximum arrival time of a limit after a start, in microseconds.
local function latest_arrival(limit, now)
  return now * 1000 + tolerance(limit) + limit[LIMIT_INTERVAL]
end

-- Returns when the rate allows a start, in ms, by the generic cell rate algorithm.
local function free_at(limit, key)
  if limit[LIMIT_COUNT] == 0 then return 0 end
  local arrival = tonumber(redis.call('ZSCORE', rates, key) or 0)
  return math.ceil((arrival - tolerance(limit)) / 1000)
end

local function charge(limit, key, now)
  if not limit or limit[LIMIT_COUNT] == 0 then return end
  local arrival = math.max(tonumber(redis.call('ZSCORE', rates, key) or 0), now * 1000)
  redis.call('ZADD', rates, arrival + limit[LIMIT_INTERVAL], key)
end

-- Moves the lane of a key to `lanes` or to `shut`, as its limit says now. Notifies pollers of a
-- lane that opens, and of an instant that they do not know, unless `quiet`: in a claim. A poller
-- that has room has claimed since the lane was there, and its answer said when it opens.
local function open_or_throttle(key, now, quiet)
  local first = with_prefix(keyed, prefix(key), 1)[1]
  if not first then
    redis.call('ZREM', lanes, key)
    redis.call('ZREM', shut, key)
    redis.call('HDEL', turns, key)
    return
  end
  redis.call('HSETNX', turns, key, redis.call('HGET', meta, 'turn') or 0)
  local limit, opens_at = limit_of(key), nil
  if limit then
    local most = limit[LIMIT_CONCURRENCY]
    if most > 0 and tonumber(redis.call('HGET', permits, key) or 0) >= most then
      opens_at = NEVER
    else
      local at = free_at(limit, key)
      if at > now then opens_at = at end
    end
  end
  if opens_at then
    redis.call('ZREM', lanes, key)
    local moved = redis.call('ZADD', shut, 'CH', opens_at, key) == 1
    if moved and opens_at ~= NEVER and not quiet then notify('wake') end
  else
    redis.call('ZREM', shut, key)
    local at = first:sub(#key + 2, #key + 17)
    if redis.call('HGET', meta, 'fair') == '1' then at = redis.call('HGET', turns, key) end
    if redis.call('ZADD', lanes, at, key) == 1 and not quiet then notify('wake') end
  end
end

-- Returns when the first lane opens that a rate shuts, or nil.
local function first_opening()
  local at = tonumber(redis.call('ZRANGE', shut, 0, 0, 'WITHSCORES')[2] or NEVER)
  return at < math.huge and at or nil
end

-- Opens the lanes whose rate allows a start by now. Returns `first_opening` as it was before.
local function open_due(now)
  local first = first_opening()
  if first and first <= now then
    local keys = redis.call('ZRANGEBYSCORE', shut, '-inf', now, 'LIMIT', 0, 1000)
    for _, key in ipairs(keys) do open_or_throttle(key, now, true) end
  end
  return first
end

-- Keys whose lanes have changed.
local touched = {}

local function touch_lanes(now)
  for key in pairs(touched) do open_or_throttle(key, now) end
  touched = {}
end
