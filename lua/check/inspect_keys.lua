-- inspect_keys: no edge
-- Reads which type of value each key of the queue holds, and its TTL.
-- KEYS     all
-- ARGV     none
-- RETURNS  two per key: its type, 'none' for a missing key; its TTL in ms, negative for none
-- INCLUDE  keys
local reply = {}
for _, key in ipairs(KEYS) do
  reply[#reply + 1] = redis.call('TYPE', key).ok
  reply[#reply + 1] = redis.call('PTTL', key)
end
return reply
