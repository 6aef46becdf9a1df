"""The check of a queue: views of its parts, the violations that they show, and the repairs.

There is one module for each type of target: `task`, `member` (of an index), `dependency`, `lane`,
`unique`, `group`, `schedule` and `message`. `totals` checks the counts and the keys of a whole
queue, and `table` lists all types. `invariants` checks a whole queue of the specification, and a
step between two.
"""
