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

-- Returns when the rate allows a start, in ms, by the generic cell rate algorithm.
local function free_at(limit, key)
  if limit[LIMIT_COUNT] == 0 then return 0 end
  local arrival = tonumber(redis.call('ZSCORE', rates, key) or 0)
  return math.ceil((arrival - (limit[LIMIT_BURST] - 1) * limit[LIMIT_INTERVAL]) / 1000)
end

local function charge(limit, key, now)
  if not limit or limit[LIMIT_COUNT] == 0 then return end
  local arrival = math.max(tonumber(redis.call('ZSCORE', rates, key) or 0), now * 1000)
  redis.call('ZADD', rates, arrival + limit[LIMIT_INTERVAL], key)
end

-- Moves the lane of a key to `lanes` or to `shut`, as its limit says now.
local function open_or_throttle(key, now)
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
    redis.call('ZADD', shut, opens_at, key)
    if opens_at ~= NEVER then notify('due') end
  else
    redis.call('ZREM', shut, key)
    local at = first:sub(#key + 2, #key + 17)
    if redis.call('HGET', meta, 'fair') == '1' then at = redis.call('HGET', turns, key) end
    if redis.call('ZADD', lanes, at, key) == 1 then notify('wake') end
  end
end

-- Opens the lanes whose rate allows a start by now. Returns how many.
local function open_due(now)
  local keys = redis.call('ZRANGEBYSCORE', shut, '-inf', now, 'LIMIT', 0, 1000)
  for _, key in ipairs(keys) do open_or_throttle(key, now) end
  return #keys
end

-- Keys whose lanes have changed.
local touched = {}

local function touch_lanes(now)
  for key in pairs(touched) do open_or_throttle(key, now) end
  touched = {}
end
