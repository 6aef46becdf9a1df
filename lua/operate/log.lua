-- log: no edge
-- Adds a line to a logbook, unless one of the last has its nonce.
-- KEYS     1 logbook
-- ARGV     1 now in ms, '' for the server's time  2 how many lines are kept  3 how many of
--          the last are compared  4 nonce  5 data
-- RETURNS  the id of the line in the stream
-- INCLUDE  clock
local now = clock(ARGV[1])
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[3])
for _, line in ipairs(last) do
  if line[2][1] == ARGV[4] then return line[1] end
end
local ms, number = now, 0
if last[1] then
  local last_ms, last_number = string.match(last[1][1], '(%d+)-(%d+)')
  if tonumber(last_ms) >= now then ms, number = tonumber(last_ms), tonumber(last_number) + 1 end
end
local id = string.format('%.0f-%.0f', ms, number)
return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], id, ARGV[4], ARGV[5])
