-- inspect_lanes: no edge
-- Reads limit keys, each as one consistent view.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then limit keys, one per argument
-- RETURNS  now in ms; '1' when claims are fair; the last turn; then per key an array, its
--          fields '' when missing: rank of its first pending task, its score in lanes and
--          in shut, its turn, its permits, how many tasks of it are active ('' when too many
--          are to be counted at once), the limit that holds, its arrival time in us
-- INCLUDE  clock keys record active_by_key
local now = clock(ARGV[1])
local set = redis.call('HMGET', meta, 'fair', 'turn')
local reply = {now, set[1] or '', set[2] or ''}
local counts = active_by_key()
for i = 2, #ARGV do
  local key = ARGV[i]
  local first = with_prefix(keyed, prefix(key), 1)[1]
  local limit = redis.call('HGET', limits, key)
  if not limit and key ~= '' then limit = redis.call('HGET', limits, ANY_KEY) end
  reply[#reply + 1] = {
    first and first:sub(#key + 2, #key + 17) or '',
    redis.call('ZSCORE', lanes, key) or '', redis.call('ZSCORE', shut, key) or '',
    redis.call('HGET', turns, key) or '', redis.call('HGET', permits, key) or '',
    counts and (counts[key] or 0) or '', limit or '', redis.call('ZSCORE', rates, key) or '',
  }
end
return reply
