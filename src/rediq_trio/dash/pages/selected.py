"""What is done to the tasks of a selection: it is counted first, then asked, then its progress is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from rediq_trio.admin.selection import Selection
from rediq_trio.client import Client
from rediq_trio.dash.pages.queue_rows import at_clock
from rediq_trio.dash.question import AskedQuestion, StartedAct
from rediq_trio.dash.seen import Seen
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.observed.bulk import BulkProgress, Possible

RETRY_RATE = 100.0
"""Tasks a second that are retried, so that what they call is not flooded."""
SAID = {"retry": "retried", "delete": "deleted", "cancel": "cancelled"}
UNDONE = {"delete": "This cannot be undone.", "cancel": "What was cancelled can be retried."}
REASONS_SHOWN = 4


def ask_selected(
    seen: Seen, verb: str, queue: str, state: State, wanted: FilterOptions, which: str
) -> StartedAct:
    """Return what selects and counts the tasks, and then asks whether to change them.

    `verb` is `retry`, `delete` or `cancel`; `which` says for people what was chosen.
    """

    async def ask(client: Client) -> AskedQuestion | str:
        selection = await client.queue(queue).select(state, **wanted)
        preview = await selection.preview()
        possible: Possible = getattr(preview, verb)
        noun = f"{state.value} task"
        if not possible.can and not possible.cannot:
            return f"no {noun}s: {which}"
        some = counted(possible.can, "task")
        lines = [
            f"{which}, chosen at {at_clock(selection.at)}.",
            "What comes later is not touched.",
        ]
        if possible.cannot:
            lines += ["", f"{count(possible.can):>7}  can be {SAID[verb]}"]
        kept = sorted(possible.cannot.items(), key=lambda one: -one[1])
        lines += [f"{count(n):>7}  stay: {shown(why, 50)}" for why, n in kept[:REASONS_SHOWN]]
        lines += ["", UNDONE.get(verb) or f"At most {RETRY_RATE:g} a second."]
        return AskedQuestion(
            f"{verb.capitalize()} {counted(possible.can, noun)}?",
            tuple(lines),
            f"{verb.capitalize()} {some}",
            lambda _: change_selected(seen, verb, selection),
        )

    return ask


async def change_selected(seen: Seen, verb: str, selection: Selection) -> str:
    """TaskChange the tasks of a selection; return what was done."""
    steps: AsyncIterator[BulkProgress] = (
        selection.retry(rate=RETRY_RATE) if verb == "retry"
        else selection.cancel() if verb == "cancel" else selection.delete()
    )  # fmt: skip
    last: BulkProgress | None = None
    async for last in steps:
        looked = f"{count(last.looked_at)} of {count(last.of)} looked at"
        seen.say(f"{SAID[verb]} {count(last.done)}, {looked}. Esc stops")
    done, refused = (last.done, last.refused) if last else (0, 0)
    kept = f"; {counted(refused, 'task')} refused" if refused else ""
    return f"{SAID[verb]} {counted(done, 'task')} of {shown(selection.queue)}{kept}"


def options(**given: Any) -> FilterOptions:
    """Return a filter of what is given."""
    return cast("FilterOptions", {name: value for name, value in given.items() if value})
