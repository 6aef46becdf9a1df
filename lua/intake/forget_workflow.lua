-- forget_workflow: no edge
-- Removes the record of a workflow.
-- KEYS     1 workflows  2 order  3 checks  4 totals
-- ARGV     1 the workflow's id
-- RETURNS  nothing
-- INCLUDE  workflow
drop(ARGV[1])
