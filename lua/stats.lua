-- stats: no edge
-- Counts the tasks in each state and reads the totals, as one consistent picture.
-- KEYS     1 records  2 meta  3 pending  4 scheduled  5 retry  6 active  7 completed
--          8 dead  9 cancelled  10 expiring  11 payloads
-- ARGV     1 now in ms, '' for the server's time
-- RETURNS  the sizes of KEYS 1 and 3 to 11; how long in ms the first pending task of a
--          priority has been due, the longest, -1 for none; paused, seq, enqueued,
--          completed, failed, dead, purged, deleted
-- INCLUDE  clock record
local now = clock(ARGV[1])
local reply = {redis.call('HLEN', KEYS[1])}
for n = 3, 10 do reply[#reply + 1] = redis.call('ZCARD', KEYS[n]) end
reply[#reply + 1] = redis.call('HLEN', KEYS[11])
-- There are at most 101 priorities, and so as many heads.
local oldest, from = -1, '-inf'
while true do
  local head = redis.call('ZRANGEBYSCORE', KEYS[3], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not head[1] then break end
  local record = load(head[1])
  if record then oldest = math.max(oldest, now - record[RUN]) end
  from = (math.floor(tonumber(head[2]) / SPAN) + 1) * SPAN
end
reply[#reply + 1] = oldest
local totals = {'paused', 'seq', 'enqueued', 'completed', 'failed', 'dead', 'purged', 'deleted'}
for _, total in ipairs(totals) do
  reply[#reply + 1] = tonumber(redis.call('HGET', KEYS[2], total) or 0)
end
return reply
