-- inspect_members: no edge
-- Reads members of the indexes that are ordered by bytes, each with the task that it names.
-- KEYS     all
-- ARGV     three per member: 'keyed' or 'grouped', member, id
-- RETURNS  per member an array: its score as text, '' when it is not there; record, '' when
--          missing; whether there is an envelope; whether the task is listed where its record
--          says
-- INCLUDE  keys record history lanes indexes index_position
local answers = {}
for i = 1, #ARGV, 3 do
  local index, id = ARGV[i] == 'keyed' and keyed or grouped, ARGV[i + 2]
  local raw = redis.call('HGET', records, id)
  local record = raw and decode(raw)
  answers[#answers + 1] = {
    redis.call('ZSCORE', index, ARGV[i + 1]) or '', raw or '',
    redis.call('HEXISTS', payloads, id),
    record and index_position(id, record) and 1 or 0,
  }
end
return answers
