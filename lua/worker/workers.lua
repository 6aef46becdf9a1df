-- workers: no edge
-- Gives what the live workers last said of themselves.
-- KEYS     1 workers  2 alive
-- ARGV     1 now in ms, '' for the server's time
-- RETURNS  array of their data, ordered by worker
-- INCLUDE  clock
local now = clock(ARGV[1])
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now), '+inf')
table.sort(ids)
local answers = {}
for i, id in ipairs(ids) do answers[i] = redis.call('HGET', KEYS[1], id) end
return answers
