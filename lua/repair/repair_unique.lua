-- repair_unique: no edge
-- Frees a unique key that no task has a right to.
-- KEYS     all
-- ARGV     1 unique key
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  clock keys record history lanes indexes terminal
local key = ARGV[1]
local holder, ends = redis.call('HGET', unique, key), redis.call('ZSCORE', locks, key)
if holder then
  local raw = redis.call('HGET', records, holder)
  local record = raw and decode(raw)
  if raw and not record then return 0 end
  local relations = record and record[RELATIONS]
  local same = relations and relations[UNIQUE] == key
  local by_time = not same or relations[UNTIL] == UNTIL_EXPIRED
  local ended = same and record[STATE] >= COMPLETED and not by_time
  if not ended and (same and relations[OWNS_UNIQUE_KEY] == 1 or by_time and ends) then return 0 end
  redis.call('HDEL', unique, key)
  redis.call('ZREM', locks, key)
  return 1
end
return ends and redis.call('ZREM', locks, key) or 0
