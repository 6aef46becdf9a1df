"""Messages between queues, ends to notify dependents of, and the last numbers of senders."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.messages import Mail
from rediq_trio.spec.records import Ending, QueueState

Item = Mail | Ending | int | None
"""A message, an ending, or a sender's last number; None if it cannot be read."""


@attrs.frozen
class MessageView:
    """The items that are stored under the number of a message or an ending, or for a sender."""

    target: Target
    last: int
    """The last number that was given to a message or an ending."""
    items: tuple[Item, ...]
    """All items under that number; there should be one."""
    numbers: tuple[int, ...]
    """The number that each item has in itself."""


def targets_of(queue: QueueState) -> Iterator[Target]:
    yield from (Target(TargetType.MESSAGE, str(mail.seq)) for mail in queue.outbox)
    yield from (Target(TargetType.SENDER, sender) for sender in queue.received)


def view_of(queue: QueueState, _now: int, target: Target) -> MessageView:
    """Return the view of a message or a sender; endings have no numbers in the specification."""
    if target.type is TargetType.SENDER:
        number = queue.received.get(target.name)
        numbers = () if number is None else (number,)
        return MessageView(target, number or 0, numbers, numbers)
    found = tuple(mail for mail in queue.outbox if str(mail.seq) == target.name)
    return MessageView(target, queue.sent, found, tuple(mail.seq for mail in found))


def violations_of(view: MessageView) -> Findings:
    """Check that a message shares its number with no other, and that the number was given."""
    if len(view.items) > 1:
        yield 2, "has its number in common with another"
    for item, number in zip(view.items, view.numbers, strict=True):
        if item is None:
            yield 2, "cannot be read"
        elif isinstance(item, Mail | Ending) and str(number) != view.target.name:
            yield 2, f"is stored under another number than its own, {number}"
        elif number > view.last:
            yield 2, f"has the number {number}, and {view.last} was the last given"


def repairs_of(view: MessageView) -> Repairs:
    target, ahead = view.target, max(view.numbers, default=0)
    fine = None not in view.items and all(str(n) == target.name for n in view.numbers)
    if target.type is TargetType.MESSAGE and fine and ahead > view.last:
        why = "a message has that number, and none is given twice"
        yield Action.SENT, f"the last message given is {view.last}", f"{ahead}", why
