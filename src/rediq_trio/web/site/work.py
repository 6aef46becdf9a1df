"""Work: a change of many tasks, asked about first, and done while its page may be closed.

A question keeps what was selected, at its instant; the answer names it by its token, so a form that is
sent twice finds the work that the first one began. BulkWork runs in the site's nursery: it ends with its last
step, when somebody stops it, when it fails, or with the site. What is not done then stays as it is.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.bulk import BulkProgress
from rediq_trio.web.site.page import Refused, Shared

QUESTIONS_KEPT = 200
"""Questions that a site remembers, the newest."""
WORKS_KEPT = 100
"""Ended work that a site remembers, the newest."""
WORKS_AT_ONCE = 8
"""Work that may be under way at once."""
SOON = 0.7
"""Seconds for which an act waits for its work: what is over by then needs no page of its own."""


@attrs.frozen
class Wanted:
    """What the answer to a question says beside yes."""

    rate: float | None = None
    """Tasks a second; None for as fast as it goes."""
    queue: str = ""
    """Where tasks are moved to."""


@attrs.frozen
class WorkPart:
    """The part of a work that is in one queue."""

    queue: str
    state: str
    begin: Callable[[Wanted], AsyncIterator[BulkProgress]]
    """Returns the steps."""
    stayed: str = ""
    """The URL of what was refused."""


@attrs.define(eq=False, kw_only=True)
class Question:
    """What a person is asked before many tasks are changed."""

    token: str = attrs.field(factory=lambda: secrets.token_urlsafe(16))
    who: str
    verb: str
    """`retry`, `cancel`, `delete` or `requeue`."""
    title: str
    """What is done, as it stands above the progress: "Retry 231 dead tasks of emails"."""
    parts: tuple[WorkPart, ...]
    count: int | None
    """How many tasks are meant; None if that was not counted."""
    typed: str = ""
    """What must be typed to go on; "" for nothing."""
    back: str
    """The URL to go back to."""


@attrs.define(eq=False, kw_only=True)
class BulkWork:
    """A change of many tasks that is under way, or over."""

    id: str
    question: Question
    wanted: Wanted
    began: dt.datetime = attrs.field(factory=utc_now)
    ended: dt.datetime | None = None
    outcome: str = "under way"
    """`under way`, `done`, `stopped` or `failed`."""
    why: str = ""
    """Why it failed."""
    progress: dict[int, BulkProgress] = attrs.field(factory=dict[int, BulkProgress])
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    stopped_by: str = ""
    over: trio.Event = attrs.field(factory=trio.Event)

    @property
    def done(self) -> int:
        """How many tasks were changed."""
        return sum(each.done for each in self.progress.values())

    @property
    def refused(self) -> int:
        """How many tasks stay as they are."""
        return sum(each.refused for each in self.progress.values())

    @property
    def total(self) -> int:
        """How many tasks are meant; where that was not counted, how many there are to look at."""
        known = sum(each.of for each in self.progress.values())
        return max(self.question.count or known, self.done + self.refused, 1)

    @property
    def seconds_left(self) -> float | None:
        """How long it will take at the pace so far; None if that is not known."""
        if self.ended is not None or self.question.count is None or not self.done:
            return None
        spent = (utc_now() - self.began).total_seconds()
        return spent * (self.total - self.done - self.refused) / (self.done + self.refused)


def ask(shared: Shared, question: Question) -> Question:
    """Remember a question until it is answered, or 200 newer ones were asked."""
    shared.works[question.token] = question
    kept = [key for key, each in shared.works.items() if isinstance(each, Question)]
    for key in kept[:-QUESTIONS_KEPT]:
        del shared.works[key]
    return question


def question_of(shared: Shared, token: str, who: str) -> Question | BulkWork:
    """Return the question of a form, or the work that it began; raise `Refused` if it is not known."""
    found = shared.works.get(token)
    if found is None and (work := shared.works.get(f"of {token}")) is not None:
        found = work
    if not isinstance(found, Question | BulkWork) or _asked(found).who != who:
        raise Refused(
            "this question is not known any more: the page was started again since, or it was asked long ago",
            "Go back, and ask again. Nothing was changed.", 409,
        )  # fmt: skip
    return found


def _asked(found: Question | BulkWork) -> Question:
    return found.question if isinstance(found, BulkWork) else found


def begin(shared: Shared, question: Question, wanted: Wanted) -> BulkWork:
    """Begin what a question asked; raise `Refused` if too much is under way."""
    running = sum(1 for each in works_of(shared) if each.ended is None)
    if running >= WORKS_AT_ONCE:
        why = f"{running} changes are under way, as many as may be"
        raise Refused(why, "Wait for one to end, or stop one, and send this again.", 503)
    work = BulkWork(id=secrets.token_hex(6), question=question, wanted=wanted)
    shared.works.pop(question.token, None)
    shared.works[work.id] = shared.works[f"of {question.token}"] = work
    over = [each for each in works_of(shared) if each.ended is not None]
    for each in over[:-WORKS_KEPT]:
        shared.works.pop(each.id, None)
        shared.works.pop(f"of {each.question.token}", None)
    shared.nursery.start_soon(_run, work)
    return work


def works_of(shared: Shared) -> list[BulkWork]:
    """Return all work that is remembered, the oldest first."""
    found = {each.id: each for each in shared.works.values() if isinstance(each, BulkWork)}
    return [*found.values()]


def work_of(shared: Shared, work_id: str) -> BulkWork | None:
    """Return a work by its id."""
    found = shared.works.get(work_id)
    return found if isinstance(found, BulkWork) and found.id == work_id else None


async def soon_over(work: BulkWork) -> bool:
    """Wait a moment for a work; return whether it is over."""
    with trio.move_on_after(SOON):
        await work.over.wait()
    return work.ended is not None


def stop(work: BulkWork, who: str) -> None:
    """Stop a work after its present step, which takes less than a second."""
    if work.ended is None:
        work.stopped_by = who
        work.scope.cancel()


async def _run(work: BulkWork) -> None:
    try:
        with work.scope:
            for at, part in enumerate(work.question.parts):
                async for step in part.begin(work.wanted):
                    work.progress[at] = step
        work.outcome = "stopped" if work.scope.cancelled_caught else "done"
    except RediqError as error:
        work.outcome, work.why = "failed", " ".join(str(error).split())
    except OSError as error:
        work.outcome, work.why = "failed", f"{type(error).__name__}: {error}"
    finally:
        work.ended = utc_now()
        if work.outcome == "under way":  # the site ends
            work.outcome = "stopped"
        work.over.set()


class RowSteps:
    """An async iterator of progress that changes single tasks, one after another.

    Each is changed by a call of its own that refuses what cannot be; a refusal is counted.
    """

    # Not a generator, which would need closing when left early.

    def __init__(
        self,
        ids: Sequence[str],
        change: Callable[[str], Awaitable[bool]],
        rate: float | None = None,
    ) -> None:
        self._ids = ids
        self._change = change
        self._rate = rate
        self._at = self._done = 0

    def __aiter__(self) -> RowSteps:
        return self

    async def __anext__(self) -> BulkProgress:
        if self._at >= len(self._ids):
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        if self._rate is not None and self._at:
            await trio.sleep(1 / self._rate)
        changed = await self._change(self._ids[self._at])
        self._at += 1
        self._done += changed
        return BulkProgress(
            done=self._done, refused=self._at - self._done, looked_at=self._at, of=len(self._ids)
        )
