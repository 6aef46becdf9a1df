-- revive: dead, cancelled -> pending
-- Makes tasks ready again, as if new but for their deliveries; `expires` is dropped.
-- KEYS     1 records  2 meta  3 dead  4 cancelled  5 pending  6 expiring
-- ARGV     1 now in ms, '' for the server's time; then ids
-- RETURNS  per id the code of the state the task is in now, 0 when there is none
-- INCLUDE  clock record requeue
local dead, cancelled, pending, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local index_of = {[DEAD] = dead, [CANCELLED] = cancelled}
local now = clock(ARGV[1])
local answers = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local record = load(id)
  local index = record and index_of[record[STATE]]
  if index then
    redis.call('ZREM', index, id)
    record[SEQ] = redis.call('HINCRBY', KEYS[2], 'seq', 1)
    record[ATTEMPT], record[CRASHES], record[SNOOZES], record[CANCEL] = 0, 0, 0, 0
    record[NONCE], record[ERROR], record[EXPIRES] = '', '', 0
    record[RUN], record[FINISHED] = now, 0
    ready(id, record, pending, expiring)
  end
  answers[#answers + 1] = record and record[STATE] or 0
end
return answers
