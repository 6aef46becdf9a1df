-- report: no edge
-- Keeps the newest progress of each running task.
-- KEYS     1 records  2 meta  3 progress
-- ARGV     four per report: id, deliveries, nonce, progress
-- RETURNS  per report: 1 kept, 0 stale
-- INCLUDE  record fence
local progress = KEYS[3]
local answers = {}
for i = 1, #ARGV, 4 do
  local record = held(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  local good = record and record[STATE] == ACTIVE
  if good then
    redis.call('HSET', progress, ARGV[i], ARGV[i + 3])
    if marked(record, HAS_WAITERS) then notify('progress:' .. ARGV[i]) end
  end
  answers[#answers + 1] = good and 1 or 0
end
return answers
