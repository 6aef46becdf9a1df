-- inspect_dependencies: no edge
-- Reads dependencies between tasks, each as one consistent view.
-- KEYS     all
-- ARGV     four per dependency: member of edges ('' where the source is in another queue),
--          member of needs ('' where the dependent is), id of the source, id of the dependent
--          ('' elsewhere)
-- RETURNS  per dependency an array: its scores in edges and in needs as text, '' when missing;
--          the records of both, '' when missing; how many tasks the dependent is listed to wait
--          for; 1 when dependents of the source have still to be notified, 0 when not, '' when
--          unknown
-- INCLUDE  keys record unresolved
local answers = {}
for i = 1, #ARGV, 4 do
  local source, id = ARGV[i + 2], ARGV[i + 3]
  local start = prefix(id)
  local raw = redis.call('HGET', records, source)
  local record, unresolved = raw and decode(raw), 0
  if source ~= '' and (not record or record[STATE] >= COMPLETED) then
    unresolved = is_unresolved(source)
    unresolved = unresolved == nil and '' or unresolved and 1 or 0
  end
  answers[#answers + 1] = {
    ARGV[i] ~= '' and redis.call('ZSCORE', edges, ARGV[i]) or '',
    ARGV[i + 1] ~= '' and redis.call('ZSCORE', needs, ARGV[i + 1]) or '',
    raw or '', redis.call('HGET', records, id) or '',
    redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255'), unresolved,
  }
end
return answers
