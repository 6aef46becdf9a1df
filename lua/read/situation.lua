-- situation: no edge
-- Reads a task with all of its queue that decides when it runs.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id
-- RETURNS  now in ms; the code of the task's state, 0 for no task; an array as `description` has
--          it; paused; since when in ms, 0 for unknown; the note of the pause; fair; how many keys
--          have pending tasks; how many pending tasks have no limit key, and how many have one;
--          two arrays, for the queue's limit and for that of the task's key: the limit, '' for
--          none, how many of its tasks are active, its theoretical arrival time in microseconds as
--          text, and, if a pending task has to wait for one of these to end, when the oldest was
--          claimed in ms, 0 for unknown; of a pending task, else 0: how many of its limit key, or
--          without one, come before it by priority, how many in its priority, how many are of its
--          priority, and the first field of the record of the first of them if that is of a newer
--          format; of a grouped task, else 0: the rule of its group, '' for none, how many members
--          the group has, when it becomes a batch in ms as text
-- INCLUDE  clock keys record contents description
local id = ARGV[2]
local record = load(id)
local relations = record and record[RELATIONS]
local key = relations and relations[LIMIT_KEY] or ''
local is_pending = record and record[STATE] == PENDING
local total = redis.call('ZCARD', active)

-- Returns when the oldest active task was claimed, of a limit key or of the whole queue (''); 0
-- when there are too many to look at. Unpacks only: to check each field would take twice as long.
local claims = nil

local function oldest_claim(of_key)
  if not claims then
    claims = {}
    local ids = total <= ACTIVE_READ and redis.call('ZRANGE', active, 0, -1) or {}
    for _, raw in ipairs(#ids > 0 and redis.call('HMGET', records, unpack(ids)) or {}) do
      local _, found = pcall(cmsgpack.unpack, raw)
      if type(found) == 'table' and found[STATE] == ACTIVE then
        local own, at = found[RELATIONS] and found[RELATIONS][LIMIT_KEY] or '', found[STARTED]
        if not claims[own] or at < claims[own] then claims[own] = at end
      end
    end
  end
  if of_key ~= '' then return claims[of_key] or 0 end
  local oldest = 0
  for _, at in pairs(claims) do
    if oldest == 0 or at < oldest then oldest = at end
  end
  return oldest
end

local function use(of_key, running)
  local raw = redis.call('HGET', limits, of_key)
  if not raw and of_key ~= '' then raw = redis.call('HGET', limits, ANY_KEY) end
  local most = raw and cmsgpack.unpack(raw)[LIMIT_CONCURRENCY] or 0
  local is_held = is_pending and most > 0 and running >= most
  return {raw or '', running, redis.call('ZSCORE', rates, of_key) or '0',
          is_held and oldest_claim(of_key) or 0}
end

local settings = redis.call('HMGET', meta, 'paused', 'paused_since', 'pause_note', 'fair')
local reply = {
  clock(ARGV[1]), state_of(id) or 0, description_of(id), tonumber(settings[1] or 0),
  tonumber(settings[2] or 0), settings[3] or '', tonumber(settings[4] or 0),
  redis.call('ZCARD', lanes) + redis.call('ZCARD', shut), redis.call('ZCARD', pending),
  redis.call('ZCARD', keyed), use('', total),
  key == '' and {'', 0, '0', 0} or use(key, tonumber(redis.call('HGET', permits, key) or 0)),
}
local better, ahead, equal, newer_head, rule, members, due = 0, 0, 0, 0, '', 0, '0'
if is_pending then
  local low = record[PRIORITY] * PRIORITY_SPAN
  local first
  if key == '' then
    local high = string.format('%.0f', low + PRIORITY_SPAN)
    local rank = redis.call('ZRANK', pending, id)
    low = string.format('%.0f', low)
    better = redis.call('ZCOUNT', pending, '-inf', '(' .. low)
    equal = redis.call('ZCOUNT', pending, low, '(' .. high)
    ahead = rank and rank - better or 0
    first = redis.call('ZRANGE', pending, 0, 0)[1]
  else
    local start = '[' .. member(key, low, '')
    better = redis.call('ZLEXCOUNT', keyed, '[' .. prefix(key), '(' .. member(key, low, ''))
    ahead = redis.call('ZLEXCOUNT', keyed, start, '(' .. member(key, score(record), id))
    equal = redis.call('ZLEXCOUNT', keyed, start, '(' .. member(key, low + PRIORITY_SPAN, ''))
    first = with_prefix(keyed, prefix(key), 1)[1]
    first = first and first:sub(#key + 18)
  end
  local _, newer = load(first or id)
  newer_head = newer or 0
elseif record and record[STATE] == GROUPED then
  local start = prefix(relations[GROUP])
  rule = redis.call('HGET', rules, relations[GROUP]) or ''
  members = redis.call('ZLEXCOUNT', grouped, '[' .. start, '(' .. start .. '\255')
  due = redis.call('ZSCORE', groups, relations[GROUP]) or '0'
end
for _, value in ipairs({better, ahead, equal, newer_head, rule, members, due}) do
  reply[#reply + 1] = value
end
return reply
