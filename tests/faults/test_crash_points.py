"""Every command that the library sends is cut off, before and behind it, and nothing is lost."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from rediq_trio import State
from rediq_trio.spec import change
from rediq_trio.spec.lifecycle import TRANSITIONS, Transition
from rediq_trio.store import opening
from rediq_trio.store.redis import dump, overview, store
from rediq_trio.tasks import partitions
from tests.faults.crash_points import NAMES, WAYS, End, Points, differences, play_in_memory
from tests.faults.crash_stories import (
    COMING,
    EXPIRING,
    GROUPING,
    LAPSING,
    LIMITING,
    PURGING,
    RUNNING,
    STORIES,
    Story,
)
from tests.faults.cutter import Cut
from tests.servers import Server

pytestmark = pytest.mark.uncounted

AT_ONCE = 8
"""Points that are played at once."""
POINT_DEADLINE = 60.0
"""Seconds that one point may take on a busy machine; as a rule it takes 0.05."""
FOR_TESTS = {"HKEYS"}
"""A command that only `dump` sends, which is for tests."""

QUICK = (RUNNING, LAPSING, EXPIRING, PURGING, GROUPING, LIMITING)
"""Stories that plain `pytest` cuts off; `pytest -m slow` does the others."""
every_story = pytest.mark.parametrize(
    "story",
    [
        pytest.param(story, marks=[] if story in QUICK else [pytest.mark.slow], id=story.name)
        for story in STORIES
    ],
)


@pytest.fixture
def points(redis_server: Server) -> Iterator[Points]:
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="rediq-cut-") as folder:
        made = Points(redis_server, Path(folder))
        trio.run(made.tell, b"FLUSHALL")
        yield made


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    # A worker that was cut off is right to say that its outcomes are refused.
    caplog.set_level(logging.ERROR, "rediq_trio")


@pytest.fixture(autouse=True)
def _one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    # A slow machine would read the partition counts once more, at another place each time.
    monkeypatch.setattr(partitions, "PARTITION_COUNTS_FRESH", 3600.0)


def test_the_stories_go_along_every_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: set[tuple[Transition, State | None, State | None]] = set()
    advance = change.advance

    def noting(event: Transition, source: State | None, target: State | None) -> State | None:
        gone.add((event, source, target))
        return advance(event, source, target)

    monkeypatch.setattr(change, "advance", noting)
    ends = {story.name: trio.run(play_in_memory, story) for story in STORIES}
    every = {(event, *edge) for event, edges in TRANSITIONS.items() for edge in edges}
    # Within one step it is blocked first, so this edge is two others for the specification.
    dead_at_once = (Transition.ENQUEUE, None, State.DEAD)
    assert every - gone == {dead_at_once}
    assert ends[COMING.name].tasks()["a/at-once"][0] is State.DEAD
    assert not ends[COMING.name].deeds.begun["a/at-once"]


def commands_of_the_store() -> set[str]:
    """Read from its source which commands the store sends besides scripts."""
    text = "".join(
        Path(module.__file__ or "").read_text("utf-8")
        for module in (store, dump, overview, opening)
    )
    return {*re.findall(r'b"([A-Z]{3,})"', text)} - {"COUNT", "WITHSCORES"}


def test_the_stories_send_every_script_and_every_command_of_the_store(points: Points) -> None:
    async def count_all() -> set[str]:
        return {name for story in STORIES for name in await points.count(story)}

    sent = trio.run(count_all)
    commands = commands_of_the_store()
    assert commands > FOR_TESTS
    assert {*NAMES.values(), *commands, "SUBSCRIBE"} - sent == FOR_TESTS


@every_story
def test_a_cut_at_any_command_loses_nothing_and_repeats_nothing(
    points: Points, story: Story
) -> None:
    played = trio.run(play_all, points, story)
    commands = len(trio.run(points.count, story))
    print(f"{story.name}: {played} crash points, {commands} commands cut in {len(WAYS)} ways")
    assert played == commands * len(WAYS)


async def play_all(points: Points, story: Story) -> int:
    """Play every point of a story; give how many there were."""
    told = await play_in_memory(story)
    await points.count(story)  # from then on the server knows the scripts
    names = await points.count(story)
    cuts = [Cut(at, *way) for at in range(1, len(names) + 1) for way in WAYS]
    room, played = trio.CapacityLimiter(AT_ONCE), 0

    async def play(cut: Cut) -> None:
        nonlocal played
        async with room:
            await play_one(points, story, cut, names, told)
        played += 1

    async with trio.open_nursery() as nursery:
        for cut in cuts:
            nursery.start_soon(play, cut)
    return played


async def play_one(
    points: Points, story: Story, cut: Cut, names: list[str], told: End, **options: Any
) -> None:
    where = f"{story.name}: {cut}, {names[int(cut.at) - 1]}"
    with trio.fail_after(POINT_DEADLINE):
        cutter, end = await points.play(story, cut, **options)
    # What came before the cut is what comes each time: a point is a place, not an accident.
    assert cutter.sent[: int(cut.at)] == names[: int(cut.at)], where
    assert differences(story, end, told) == [], where


@pytest.mark.slow
def test_a_cut_at_a_script_that_is_sent_whole_loses_nothing(points: Points) -> None:
    async def play_cold() -> dict[str, int]:
        played: dict[str, int] = {}
        for story in STORIES:
            told = await play_in_memory(story)
            names = await points.count(story, cold=True)
            for at, name in enumerate(names, start=1):
                if name.startswith("EVAL ") and name not in played:
                    for way in WAYS:
                        await play_one(points, story, Cut(at, *way), names, told, cold=True)
                    played[name] = len(WAYS)
        return played

    played = trio.run(play_cold)
    print(f"{sum(played.values())} crash points at {len(played)} scripts that are sent whole")
    assert played == {f"EVAL {name}": len(WAYS) for name in NAMES.values()}
