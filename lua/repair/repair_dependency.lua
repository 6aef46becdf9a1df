-- repair_dependency: no edge
-- Makes both sides of a dependency list it, or notifies the dependent of the end of its source.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 member of edges  3 member of needs ('' where
--          the dependent is in another queue)  4 id of the source  5 the dependent as the source
--          refers to it
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes indexes terminal propagate unresolved
local now, local_id, dependent = clock(ARGV[1]), ARGV[4], ARGV[5]
local in_edges = redis.call('ZSCORE', edges, ARGV[2])
local in_needs = ARGV[3] ~= '' and redis.call('ZSCORE', needs, ARGV[3])
local raw = redis.call('HGET', records, local_id)
local source = raw and decode(raw)
local own = ARGV[3] ~= '' and load(dependent)
local waits = own and own[RELATIONS] and own[STATE] == BLOCKED

-- Returns whether the dependent waits for more tasks than `needs` lists.
local function lacks_one()
  local start = prefix(dependent)
  local known = redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255')
  return known < own[RELATIONS][WAITS]
end

if raw and not source then return 0 end
local alive = source and source[STATE] < COMPLETED
if not alive and is_unresolved(local_id) ~= false then return 0 end
local changed = 0
if in_edges and alive and not marked(source, HAS_DEPENDENTS) then
  mark(source, HAS_DEPENDENTS)
  save(local_id, source)
  changed = 1
end
if in_edges and alive and waits and not in_needs and lacks_one() then
  redis.call('ZADD', needs, 0, ARGV[3])
  changed = 1
elseif in_edges and source and not alive then
  redis.call('ZREM', edges, ARGV[2])
  local result = redis.call('HGET', results, local_id) or ''
  notify_dependent(local_id, dependent, source[STATE], result, now)
  changed = 1
elseif in_edges and not source and ARGV[3] ~= '' and not (waits and in_needs) then
  redis.call('ZREM', edges, ARGV[2])
  changed = 1
elseif not in_edges and in_needs and waits and source and source[STATE] ~= GROUPED then
  subscribe(local_id, dependent, now)
  changed = 1
end
conclude(now)
return changed
