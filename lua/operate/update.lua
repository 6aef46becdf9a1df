-- update: pending -> pending; scheduled -> scheduled; blocked -> blocked; grouped -> grouped; retry -> retry
-- Changes payload and options of a waiting task, if it still is as its caller has seen it.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id
--          3 the envelope that was seen  4 the numbers that were seen: a msgpack array of
--          priority, max_retry, max_crashes, retention in ms and expiry in ms, 0 for never
--          5 the new envelope  6 the new numbers  7 ms from now until the task expires, 0 for
--          never; the earlier one counts
-- RETURNS  the code of the task's state, 0 for no task, and 1 if it was changed, else 0; for a task
--          of a newer format, which stays as it is, the first field of its record, negated, and 0
-- INCLUDE  clock keys record history lanes indexes terminal propagate version
local now, id, envelope = clock(ARGV[1]), ARGV[2], ARGV[5]
local seen, new = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[6])
local expires_in = tonumber(ARGV[7])
local record, newer = load(id)
if not record then return {-(newer or 0), 0} end
local state = record[STATE]
if state > PENDING and state ~= RETRY then return {state, 0} end

local known = is_version(id, record, ARGV[3], seen) and record[EXPIRES] == seen[EXPIRY]
  or is_version(id, record, envelope, new)
local enough = new[MAX_RETRY - 1] >= record[ATTEMPT] and new[MAX_CRASHES - 1] >= record[CRASHES]
if not known or not enough then return {state, 0} end
local expires = new[EXPIRY]
if expires_in > 0 and (expires == 0 or now + expires_in < expires) then
  expires = now + expires_in
end
leave_index(id, record)
if record[ENVELOPE] == '' then redis.call('HDEL', payloads, id) end
set_envelope(id, record, envelope)
if state == PENDING and record[PRIORITY] ~= new[PRIORITY - 1] then record[SEQ] = next_seq() end
for n = PRIORITY, RETENTION do record[n] = new[n - 1] end
record[EXPIRES] = expires
if state == PENDING then
  ready(id, record)
elseif state == BLOCKED then
  block(id, record)
elseif state == GROUPED then
  group_in(id, record)
else
  later(id, record, state, record[RUN])
end
record_entry(now, 'update', id, state, state, record)
conclude(now)
return {state, 1}
