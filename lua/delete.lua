-- delete: pending, scheduled, retry, completed, dead, cancelled -> -
-- Removes tasks that no worker holds.
-- KEYS     1 records  2 meta  3 payloads  4 results  5 progress  6 expiring  7 pending
--          8 scheduled  9 retry  10 completed  11 dead  12 cancelled
-- ARGV     ids
-- RETURNS  per id the code of the state the task was in, 0 when there was none; the code
--          of `active` means that it is still there
-- INCLUDE  record finish
local payloads, results, progress, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local index_of = {
  [PENDING] = KEYS[7], [SCHEDULED] = KEYS[8], [RETRY] = KEYS[9],
  [COMPLETED] = KEYS[10], [DEAD] = KEYS[11], [CANCELLED] = KEYS[12],
}
local answers, gone = {}, 0
for i = 1, #ARGV do
  local id = ARGV[i]
  local record = load(id)
  local index = record and index_of[record[STATE]]
  if index then
    redis.call('ZREM', index, id)
    redis.call('ZREM', expiring, id)
    for _, key in ipairs({KEYS[1], payloads, results, progress}) do redis.call('HDEL', key, id) end
    announce(id, record)
    gone = gone + 1
  end
  answers[#answers + 1] = record and record[STATE] or 0
end
if gone > 0 then count('deleted', gone) end
return answers
