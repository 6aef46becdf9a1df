-- promote: scheduled, retry -> pending
-- Makes due tasks ready: at most `limit` scheduled and `limit` retried ones.
-- KEYS     1 records  2 meta  3 scheduled  4 retry  5 pending  6 expiring
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many moved; ms until the next is due, -1 for none
-- INCLUDE  clock record requeue due
local scheduled, retry, pending, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local now = clock(ARGV[1])
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or 0)
local moved = 0
for _, index in ipairs({scheduled, retry}) do
  for _, id in ipairs(due(index, now, ARGV[2])) do
    redis.call('ZREM', index, id)
    local record = load(id)
    if record then
      seq = seq + 1
      record[SEQ] = seq
      ready(id, record, pending, expiring)
      moved = moved + 1
    else
      -- A claim buries what cannot be decoded.
      redis.call('ZADD', pending, 0, id)
    end
  end
end
if moved > 0 then redis.call('HSET', KEYS[2], 'seq', seq) end
return {moved, next_in(now, {scheduled, retry})}
