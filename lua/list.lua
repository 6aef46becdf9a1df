-- list: no edge
-- Gives ids of the tasks in one state, in the order of its index.
-- KEYS     1 records  2 meta  3 index (of the state)
-- ARGV     1 limit, 1 to 1000  2 id after which to begin, '' for the beginning
-- RETURNS  array of ids; an error reply when the id in ARGV 2 is not in the index
local start = 0
if ARGV[2] ~= '' then
  local rank = redis.call('ZRANK', KEYS[3], ARGV[2])
  if not rank then return redis.error_reply('NOTLISTED') end
  start = rank + 1
end
return redis.call('ZRANGE', KEYS[3], start, start + tonumber(ARGV[1]) - 1)
