-- remember: no edge
-- Keeps the result of a step of a running task.
-- KEYS     1 records  2 meta  3 steps
-- ARGV     1 id  2 deliveries  3 nonce  4 name and result of the step, packed
-- RETURNS  1 kept, 0 stale
-- INCLUDE  record fence
local record = held(ARGV[1], ARGV[2], ARGV[3])
if not record or record[STATE] ~= ACTIVE then return 0 end
local known = redis.call('HGET', KEYS[3], ARGV[1]) or ''
redis.call('HSET', KEYS[3], ARGV[1], known .. ARGV[4])
if not marked(record, HAS_STEPS) then
  mark(record, HAS_STEPS)
  save(ARGV[1], record)
end
return 1
