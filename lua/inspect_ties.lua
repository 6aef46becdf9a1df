-- inspect_ties: no edge
-- Reads who waits for whom, each tie as one consistent picture.
-- KEYS     all
-- ARGV     four per tie: member of edges ('' where the first task is elsewhere), member of
--          needs ('' where the second is), id of the first, id of the second ('' elsewhere)
-- RETURNS  per tie an array: its scores in edges and in needs as text, '' when missing; the
--          records of both, '' when missing; how many tasks the second is listed to wait for;
--          1 when the end of the first is still to be told, 0 when not, '' when unknown
-- INCLUDE  keys record is_unresolved
local answers = {}
for i = 1, #ARGV, 4 do
  local source, id = ARGV[i + 2], ARGV[i + 3]
  local start = prefix(id)
  local raw = redis.call('HGET', records, source)
  local record, notified = raw and decode(raw), 0
  if source ~= '' and (not record or record[STATE] >= COMPLETED) then
    notified = is_unresolved(source)
    notified = notified == nil and '' or notified and 1 or 0
  end
  answers[#answers + 1] = {
    ARGV[i] ~= '' and redis.call('ZSCORE', edges, ARGV[i]) or '',
    ARGV[i + 1] ~= '' and redis.call('ZSCORE', needs, ARGV[i + 1]) or '',
    raw or '', redis.call('HGET', records, id) or '',
    redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255'), notified,
  }
end
return answers
