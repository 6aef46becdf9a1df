-- repair_dependency: no edge
-- Makes both sides of a dependency list it, or notifies the dependent of the end of its source.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 member of edges  3 member of needs ('' where
--          the dependent is in another queue)  4 id of the source  5 the dependent as the source
--          refers to it
-- RETURNS  1 when that changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes indexes terminal propagate unresolved
local now, local_id, dependent = clock(ARGV[1]), ARGV[4], ARGV[5]
local there = redis.call('ZSCORE', edges, ARGV[2])
local needed = ARGV[3] ~= '' and redis.call('ZSCORE', needs, ARGV[3])
local raw = redis.call('HGET', records, local_id)
local source = raw and decode(raw)
local mine = ARGV[3] ~= '' and load(dependent)
local waits = mine and mine[RELATIONS] and mine[STATE] == BLOCKED

-- Whether one more is waited for than is listed.
local function lacks_one()
  local start = prefix(dependent)
  local known = redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255')
  return known < mine[RELATIONS][WAITS]
end

if raw and not source then return 0 end
local alive = source and source[STATE] < COMPLETED
if not alive and is_unresolved(local_id) ~= false then return 0 end
local changed = 0
if there and alive and not marked(source, HAS_DEPENDENTS) then
  mark(source, HAS_DEPENDENTS)
  save(local_id, source)
  changed = 1
end
if there and alive and waits and not needed and lacks_one() then
  redis.call('ZADD', needs, 0, ARGV[3])
  changed = 1
elseif there and source and not alive then
  redis.call('ZREM', edges, ARGV[2])
  local result = redis.call('HGET', results, local_id) or ''
  notify_dependent(local_id, dependent, source[STATE], result, now)
  changed = 1
elseif there and not source and ARGV[3] ~= '' and not (waits and needed) then
  redis.call('ZREM', edges, ARGV[2])
  changed = 1
elseif not there and needed and waits and source and source[STATE] ~= GROUPED then
  subscribe(local_id, dependent, now)
  changed = 1
end
conclude(now)
return changed
