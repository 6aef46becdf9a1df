-- failure_kinds: no edge
-- Reads the kinds of failure, the one that was seen last first.
-- KEYS     1 records  2 meta  3 kinds  4 sightings
-- ARGV     1 maximum number, 1 to KINDS_KEPT
-- RETURNS  two arrays, or nothing if there are no kinds: fingerprints, each followed by when it was
--          seen last in ms as text; and what is stored of each, see KIND_FIELDS, nil if missing
local seen, names = redis.call('ZRANGE', KEYS[4], 0, ARGV[1] - 1, 'REV', 'WITHSCORES'), {}
if #seen == 0 then return {} end
for n = 1, #seen, 2 do names[#names + 1] = seen[n] end
return {seen, redis.call('HMGET', KEYS[3], unpack(names))}
