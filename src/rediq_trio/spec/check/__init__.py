"""The check of a queue: for each thing that is checked, what is seen of it, what is wrong, what repairs it.

One module for each: `task`, `member` (of an index), `dependency`, `lane`, `unique`, `group`,
`schedule` and `message`; `totals` has the counts and the keys of a whole queue. `table` lists
them. `invariants` checks a whole queue of the specification, and a step of one.
"""
