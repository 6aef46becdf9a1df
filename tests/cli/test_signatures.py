"""Payloads that no handler takes, refused where they are typed."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.tasks.signatures import KnownSignatures, fault_of
from tests.cli.conftest import Place, Start, eventually
from tests.cli.test_operate import Typed, put, typed
from tests.tasks.test_worker_details import PLAIN

__all__ = ["typed"]

TWO = rediq.TaskSignature(required=("to", "subject"), optional=("copies",))
TAKES = "it takes to, subject, copies="


@pytest.mark.parametrize(
    ("signature", "payload", "said"),
    [
        (TWO, {"to": 1, "subject": 2}, ""),
        (TWO, {"to": 1, "subject": 2, "copies": 3}, ""),
        (TWO, {"to": 1}, f"needs 'subject', which is missing; {TAKES}"),
        (TWO, {"to": 1, "subjct": 2}, "takes no 'subjct'; did you mean subject?"),
        (TWO, {"to": 1, "subject": 2, "copie": 3}, "takes no 'copie'; did you mean copies?"),
        (TWO, {"to": 1, "subject": 2, "\x1b": 3}, rf"takes no '\x1b'; {TAKES}"),
        (TWO, [1], "takes to, subject, copies=, by name: the payload must be an object"),
        (attrs.evolve(TWO, open=True), {"to": 1, "subject": 2, "x": 3}, ""),
        (attrs.evolve(TWO, open=True), {"x": 3}, f"needs 'to', which is missing; {TAKES}, others"),
        (rediq.TaskSignature(required=("one",)), 7, ""),
        (rediq.TaskSignature(optional=("one", "two")), 7, ""),
        (rediq.TaskSignature(), {}, ""),
        (rediq.TaskSignature(), 7, "takes nothing by position: the payload must be an object"),
        (rediq.TaskSignature(), {"a": 1}, "takes no 'a'; it takes nothing"),
    ],
)  # fmt: skip
def test_what_a_handler_would_refuse_is_named(
    signature: rediq.TaskSignature, payload: Any, said: str
) -> None:
    assert fault_of(signature, payload) == said


def test_what_one_live_worker_takes_is_good_while_another_version_does_not() -> None:
    old = attrs.evolve(PLAIN, signatures={"a": rediq.TaskSignature(required=("x",))})
    new = attrs.evolve(PLAIN, signatures={"a": rediq.TaskSignature(required=("x", "y"))})
    elsewhere = attrs.evolve(new, queues=("other",))
    both = KnownSignatures([old, new, elsewhere, PLAIN])
    assert both.check("q", "a", {"x": 1})
    assert both.check("q", "a", {"x": 1, "y": 2})
    with pytest.raises(rediq.PayloadError, match="payload: a takes no 'z'"):
        both.check("q", "a", {"z": 1})
    assert not both.check("q", "b", {"z": 1})
    assert not KnownSignatures([PLAIN, elsewhere]).check("q", "a", {"z": 1})


def test_a_payload_that_no_handler_takes_is_refused_by_every_command_that_has_one(
    typed: Typed, cli_start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = cli_start("run", "served:app", "--name=w", *typed.place.flags)
    trio.run(wait_known, typed.place)
    said = "payload: sleep takes no 'secnds'; did you mean seconds?, as live workers of default say"
    for words in (
        ("enqueue", "sleep", "secnds=1"),
        ("enqueue", "sleep", "secnds=1", "--dry-run"),
        ("schedule", "add", "s", "--every=1h", "sleep", "secnds=1"),
    ):
        status, line = typed.one_line(*words)
        assert (status, said in line) == (2, True), line
        assert line.endswith("Correct it, or pass --unchecked")
    (waits,) = put(typed.place, rediq.Task("sleep", {"seconds": 0}, delay=60))
    monkeypatch.setenv("VISUAL", "sed -i s/seconds/secnds/")
    found = typed("task", "edit", waits)
    assert (found.status, said in found.err) == (2, True), found.err
    lines = [{"type": "sleep", "payload": {name: 0}} for name in ("seconds", "secnds")]
    found = typed.piped("\n\n".join(map(json.dumps, lines)), "enqueue", "-")
    assert (found.status, f"line 3: {said}" in found.err) == (2, True), found.err
    assert typed("schedule", "list", "--json").objects == []
    assert typed("task", "list", "default", "--state=pending", "--json").objects == []
    assert typed("worker", "quiet", "w").status == 0
    for words in (("secnds=1", "--unchecked"), ("seconds=0",)):
        found = typed("enqueue", "sleep", *words)
        assert (found.status, found.err) == (0, "")
    assert typed("worker", "stop", "w", "--grace=0s", "--yes").status == 0
    assert worker.end() == 0


async def wait_known(place: Place) -> None:
    """Wait until a worker says what its handlers take."""
    async with place.client() as client:

        async def look() -> bool:
            return any(worker.signatures for worker in await client.workers())

        await eventually(look)
