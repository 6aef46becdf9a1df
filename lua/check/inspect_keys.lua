-- inspect_keys: no edge
-- Reads what type of value each key of the queue holds, and whether it may go by itself.
-- KEYS     all
-- ARGV     none
-- RETURNS  per key two: its type, 'none' where there is none; the ms it has left, negative
--          for one that stays
-- INCLUDE  keys
local reply = {}
for _, key in ipairs(KEYS) do
  reply[#reply + 1] = redis.call('TYPE', key).ok
  reply[#reply + 1] = redis.call('PTTL', key)
end
return reply
