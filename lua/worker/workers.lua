-- workers: no edge
-- Returns the last heartbeat of each worker that is alive, or of only one.
-- KEYS     1 workers  2 alive
-- ARGV     1 now in ms, '' for the server's time  2 worker, '' for all
-- RETURNS  array of their data, ordered by worker
-- INCLUDE  clock
local now = clock(ARGV[1])
local ids
if ARGV[2] == '' then
  ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now), '+inf')
  table.sort(ids)
else
  local till = redis.call('ZSCORE', KEYS[2], ARGV[2])
  ids = till and tonumber(till) > now and {ARGV[2]} or {}
end
local answers = {}
for i, id in ipairs(ids) do answers[i] = redis.call('HGET', KEYS[1], id) end
return answers
