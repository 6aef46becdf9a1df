-- note_size: no edge
-- Notes how many bytes a queue's statistics take; says which queues are to lose some of theirs.
-- KEYS     1 sizes  2 used
-- ARGV     1 now in ms, '' for the server's time  2 queue  3 its bytes, 0 to forget it
--          4 '1' to put its turn after those of all others
--          5 bytes that all may take, 0 to ask for nothing
-- RETURNS  per queue: its name, how many bytes it is to lose
-- INCLUDE  clock
local now, queue, bytes, most = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local sizes, used, answers = KEYS[1], KEYS[2], {}
local function size_of(name) return tonumber(redis.call('HGET', sizes, name) or 0) end

local total = redis.call('HINCRBY', sizes, '', bytes - size_of(queue))
if bytes == 0 then
  redis.call('HDEL', sizes, queue)
  redis.call('ZREM', used, queue)
  if total == 0 then redis.call('HDEL', sizes, '') end
else
  redis.call('HSET', sizes, queue, bytes)
  if ARGV[4] == '1' or not redis.call('ZSCORE', used, queue) then
    redis.call('ZADD', used, now, queue)
  end
end
local excess = most > 0 and total - most or 0
for _, name in ipairs(redis.call('ZRANGE', used, 0, TRIMMED_AT_ONCE - 1)) do
  if excess <= 0 then break end
  local size = size_of(name)
  answers[#answers + 1] = {name, math.min(excess, size)}
  excess = excess - size
end
return answers
