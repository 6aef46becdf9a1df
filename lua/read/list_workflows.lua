-- list_workflows: no edge
-- Reads records of workflows in the order of their numbers, until they are many bytes.
-- KEYS     1 workflows  2 order
-- ARGV     1 '1' for the newest first  2 the number to begin after, '' for none  3 how many at most
--          4 the id of the only workflow to read, '' for any
-- RETURNS  per record: the workflow's id, its number, the record
local ends = ARGV[2] ~= '' and '(' .. ARGV[2]
local found
if ARGV[4] ~= '' then
  local number = redis.call('ZSCORE', KEYS[2], ARGV[4])
  found = number and {ARGV[4], number} or {}
elseif ARGV[1] == '1' then
  found = redis.call('ZRANGE', KEYS[2], ends or '+inf', '-inf', 'BYSCORE', 'REV',
    'LIMIT', 0, ARGV[3], 'WITHSCORES')
else
  found = redis.call('ZRANGE', KEYS[2], ends or '-inf', '+inf', 'BYSCORE',
    'LIMIT', 0, ARGV[3], 'WITHSCORES')
end
local answers, bytes = {}, 0
for i = 1, #found, 2 do
  local record = redis.call('HGET', KEYS[1], found[i])
  answers[#answers + 1] = {found[i], tonumber(found[i + 1]), record}
  bytes = bytes + #record
  if bytes >= WORKFLOWS_READ_BYTES then break end
end
return answers
