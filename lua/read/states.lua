-- states: no edge
-- Reads the states of tasks, also of those that a newer version wrote.
-- KEYS     1 records  2 meta
-- ARGV     1 now in ms, '' for the server's time; then ids
-- RETURNS  now in ms; the code of the state of each task, 0 for one that is not there
-- INCLUDE  clock record
local answers = {clock(ARGV[1])}
for i = 2, #ARGV do answers[i] = state_of(ARGV[i]) or 0 end
return answers
