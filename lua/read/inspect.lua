-- inspect: no edge
-- Reads all that is stored of tasks, each task consistently.
-- KEYS     all
-- ARGV     ids
-- RETURNS  per id an array: record, envelope, result, progress, inputs, steps, attempts, and its
--          score as text in active, completed or cancelled; each '' when missing
-- INCLUDE  keys
local hashes = {records, payloads, results, progress, inputs, steps, attempts}
local answers = {}
for i = 1, #ARGV do
  local id = ARGV[i]
  local task = {}
  for n, key in ipairs(hashes) do
    task[n] = redis.call('HGET', key, id) or ''
  end
  task[#task + 1] = redis.call('ZSCORE', active, id) or redis.call('ZSCORE', completed, id)
    or redis.call('ZSCORE', cancelled, id) or ''
  answers[i] = task
end
return answers
