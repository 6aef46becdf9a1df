-- inspect_tasks: no edge
-- Reads where tasks are listed, each as one consistent view, without their contents.
-- KEYS     all
-- ARGV     ids
-- RETURNS  per id an array: record, '' when missing; how long envelope, result, progress,
--          inputs, steps and attempts are; its scores as text ('' where it is not listed) in
--          expiring, scheduled, blocked, pending, active, retry, completed, dead and cancelled; its
--          ranks in grouped and keyed; how many tasks it waits for; the holder of its
--          unique key
-- INCLUDE  keys record
local hashes = {payloads, results, progress, inputs, steps, attempts}
local indexes = {
  expiring, scheduled, blocked, pending, active, retry, completed, dead, cancelled,
}
local answers = {}
for i = 1, #ARGV do
  local id = ARGV[i]
  local raw = redis.call('HGET', records, id)
  local view = {raw or ''}
  for _, key in ipairs(hashes) do
    view[#view + 1] = redis.call('HSTRLEN', key, id)
  end
  local record = raw and decode(raw)
  if record and record[ENVELOPE] ~= '' then view[2] = #record[ENVELOPE] end
  for _, index in ipairs(indexes) do
    view[#view + 1] = redis.call('ZSCORE', index, id) or ''
  end
  local relations = record and record[RELATIONS] or {'', 0, 0, '', '', 0, 0}
  local group, key, holder = '', '', ''
  if relations[GROUP] ~= '' then
    local listed = redis.call('ZSCORE', grouped, member(relations[GROUP], record[SEQ], id))
    if listed then group = string.format('%.0f', record[SEQ]) end
  end
  if relations[LIMIT_KEY] ~= '' then
    local listed = redis.call('ZSCORE', keyed, member(relations[LIMIT_KEY], score(record), id))
    if listed then key = string.format('%.0f', score(record)) end
  end
  if relations[UNIQUE] ~= '' then holder = redis.call('HGET', unique, relations[UNIQUE]) or '' end
  local start, n = prefix(id), #view
  view[n + 1], view[n + 2] = group, key
  view[n + 3] = redis.call('ZLEXCOUNT', needs, '[' .. start, '(' .. start .. '\255')
  view[n + 4] = holder
  answers[i] = view
end
return answers
