-- inspect: no edge
-- Reads all that is stored of tasks, each task consistently.
-- KEYS     all
-- ARGV     ids
-- RETURNS  per id an array: record, envelope, result, progress, inputs, steps, attempts, and its
--          score as text in active, completed or cancelled; each '' when missing
-- INCLUDE  keys contents
local answers = {}
for i = 1, #ARGV do answers[i] = contents_of(ARGV[i]) end
return answers
