-- mend_tie: no edge
-- Sees to it that a task is told of the end of another that it waits for.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 member of edges  3 member of needs ('' where
--          the second is elsewhere)  4 id of the first  5 the second as the first refers to it
-- RETURNS  1 when that changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes places ends ripple over
local now, own, dependent = clock(ARGV[1]), ARGV[4], ARGV[5]
local there = redis.call('ZSCORE', edges, ARGV[2])
local needed = ARGV[3] ~= '' and redis.call('ZSCORE', needs, ARGV[3])
local raw = redis.call('HGET', records, own)
local source = raw and decode(raw)
local mine = ARGV[3] ~= '' and load(dependent)
local waits = mine and mine[TIES] and mine[STATE] == BLOCKED

-- Whether one more is waited for than is listed.
local function lacks_one()
  local start = prefix(dependent)
  return redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255') < mine[TIES][WAITS]
end

if raw and not source then return 0 end
local alive = source and source[STATE] < COMPLETED
if not alive and in_endings(own) ~= false then return 0 end
local changed = 0
if there and alive and not marked(source, FOLLOWED) then
  mark(source, FOLLOWED)
  save(own, source)
  changed = 1
end
if there and alive and waits and not needed and lacks_one() then
  redis.call('ZADD', needs, 0, ARGV[3])
  changed = 1
elseif there and source and not alive then
  redis.call('ZREM', edges, ARGV[2])
  tell_dependent(own, dependent, source[STATE], redis.call('HGET', results, own) or '', now)
  changed = 1
elseif there and not source and ARGV[3] ~= '' and not (waits and needed) then
  redis.call('ZREM', edges, ARGV[2])
  changed = 1
elseif not there and needed and waits and source and source[STATE] ~= GROUPED then
  follow(own, dependent, now)
  changed = 1
end
conclude(now)
return changed
