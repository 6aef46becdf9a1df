-- failure_kinds: no edge
-- Reads the kinds of failure, the one that was seen last first.
-- KEYS     1 records  2 meta  3 kinds  4 sightings
-- ARGV     1 maximum number, 1 to KINDS_KEPT
-- RETURNS  per kind three values: its fingerprint, when it was seen last in ms as text, and what is
--          stored of it, see KIND_FIELDS; nil if that is missing
local names, instants = {}, {}
local found = redis.call('ZRANGE', KEYS[4], 0, ARGV[1] - 1, 'REV', 'WITHSCORES')
for n = 1, #found, 2 do
  names[#names + 1], instants[#instants + 1] = found[n], found[n + 1]
end
if #names == 0 then return {} end
local reply = {}
for n, stored in ipairs(redis.call('HMGET', KEYS[3], unpack(names))) do
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = names[n], instants[n], stored
end
return reply
