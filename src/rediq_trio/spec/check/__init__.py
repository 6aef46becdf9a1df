"""The check of a queue: views of its parts, the violations that they show, and the repairs.

There is one module for each type of target: `task`, `member` (of an index), `dependency`, `lane`,
`unique`, `group`, `schedule` and `message`. `totals` checks the counts and the keys of a whole
queue, and `table` lists all types. `testing/judge/invariants.py` checks whole queues of the
specification, and the steps between them.
"""
