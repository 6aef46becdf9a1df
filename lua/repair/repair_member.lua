-- repair_member: no edge
-- Removes a member of an index that is ordered by bytes, if its task's record does not name it;
-- else sets its score to 0.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 'keyed' or 'grouped'  3 member  4 id
--          5 the limit key or the group
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes indexes index_position
local now, entry, id = clock(ARGV[1]), ARGV[3], ARGV[4]
local index = ARGV[2] == 'keyed' and keyed or grouped
local at = redis.call('ZSCORE', index, entry)
if not at then return 0 end
local raw = redis.call('HGET', records, id)
local record = raw and decode(raw)
local local_id, right = nil, nil
if record then local_id, right = position_of(id, record) end
if local_id == index and right == entry then
  if tonumber(at) == 0 then return 0 end
  redis.call('ZADD', index, 0, entry)
elseif record and index_position(id, record)
  or not raw and redis.call('HEXISTS', payloads, id) == 0 then
  redis.call('ZREM', index, entry)
else
  return 0
end
if index == keyed then touched[ARGV[5]] = true else touched_groups[ARGV[5]] = true end
touch_lanes(now)
touch_groups()
return 1
