"""From the tasks of a workflow to what a store writes in one step."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio._errors import ConfigError, PayloadTooLarge
from rediq_trio.tasks.prepare import MAX_ATOMIC_BYTES, PreparedTask, prepare, reference_to
from rediq_trio.workflow.plan import PlanNode

MAX_LINKS = 50_000
"""Maximum number of links of a workflow."""


def prepare_node(node: PlanNode, home: str, max_payload: int) -> PreparedTask:
    """Check and pack one task of a workflow that is written through the queue `home`."""
    queue = node.task.queue
    outside = [each for each in node.task.depends_on if each not in node.needs]
    task = attrs.evolve(node.task, id=node.local_id, depends_on=(*outside, *node.needs))
    one = prepare(task, max_payload)
    relations = attrs.evolve(
        one.new.relations,
        queue="" if queue == home else queue,
        run_on_dependency_failure=task.on_dependency_failure == "run",
        limit_key=task.limit_key or "",
        needs=tuple(reference_to(queue, each) for each in dict.fromkeys(outside)),
        needs_later=tuple(reference_to(queue, each) for each in node.needs),
        dependents=tuple(reference_to(queue, each) for each in node.dependents),
    )
    return attrs.evolve(one, new=attrs.evolve(one.new, relations=relations))


def check_atomic(nodes: Sequence[PreparedTask]) -> None:
    """Raise `ConfigError` or `PayloadTooLarge` if a workflow is too large for one step."""
    links = sum(len(one.new.relations.needs_later) for one in nodes)
    if links > MAX_LINKS:
        raise ConfigError.of("workflow", f"<{links:,} links>", f"of at most {MAX_LINKS:,} links")
    size = sum(len(one.new.envelope) for one in nodes)
    if size > MAX_ATOMIC_BYTES:
        raise PayloadTooLarge(
            f"workflow: {size:,} bytes packed; at most {MAX_ATOMIC_BYTES:,} are written in one step"
        )
