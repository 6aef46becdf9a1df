"""What a viewer sees is a state that the history passed through; the judge finds each view that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import rediq_trio as rediq
from rediq_trio.testing.judge.seen import (
    SEEN_NUMBERS,
    VIEWED,
    PassedStep,
    SeenQueue,
    judge_seen,
    judge_views,
)
from tests.chaos.viewer import Viewer, keep_histories

app = rediq.App("seen")
URL = "memory://seen"
VIEWS = Path(VIEWED) / "views.jsonl"


@app.task("work", queue="main", max_retry=1, backoff=rediq.Fixed(2))
async def work(how: str) -> str:
    await trio.sleep(1)
    if how == "snooze" and rediq.current_task().fence == 1:
        raise rediq.Snooze(1)
    if how == "fail":
        raise ValueError("as it was told to")
    return how


@app.aggregator("g", max_size=3, grace_period=1, max_delay=2)
async def gather(tasks: list[rediq.Task[Any]]) -> None:
    await trio.sleep(1)


async def live(client: rediq.Client) -> None:
    """Let everything happen that moves a count."""
    queue = client.queue("main")
    failing = await client.enqueue_many([work.task("fail") for _ in range(3)])
    for how in ("plain", "snooze"):
        await client.enqueue_many([work.task(how) for _ in range(4)])
    await client.enqueue_many([work.options(group="g").task("member") for _ in range(4)])
    await client.enqueue(work.options(delay=3).task("later"))
    await client.enqueue(work.options(retention=0).task("soon gone"))
    await client.enqueue(work.options(depends_on=[failing[0].id]).task("after"))
    await trio.sleep(12)
    await failing[0].retry()
    await failing[1].delete()
    await failing[2].requeue("side")
    await queue.pause("a look round")
    waiting = await client.enqueue_many([work.task("plain") for _ in range(3)])
    await waiting[0].cancel()
    await trio.sleep(3)
    await queue.flush()
    await trio.sleep(3)
    await queue.resume()
    await client.enqueue(work.task("plain"))
    await trio.sleep(5)


async def record(folder: Path) -> None:
    async with rediq.serve(app, URL, queues=["main", "side", "lanes"]) as server:
        await keep_histories(server.client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Viewer(folder / VIEWED).run, URL, URL)
            await live(server.client)
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    trio.run(record, folder, clock=MockClock(autojump_threshold=0))
    return folder


@pytest.fixture
def tampered(recorded: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Return a function that makes a copy of what was recorded, in which one view of `main` is changed."""

    def change(how: Callable[[dict[str, Any]], None]) -> Path:
        (tmp_path / VIEWED).mkdir()
        (tmp_path / VIEWED / "steps").symlink_to(recorded / VIEWED / "steps")
        lines = [json.loads(line) for line in (recorded / VIEWS).read_text().splitlines()]
        how(lines[len(lines) // 2]["queues"]["main"])
        (tmp_path / VIEWS).write_text("\n".join(map(json.dumps, lines)) + "\n")
        return tmp_path

    return change


def test_all_that_was_seen_of_a_run_is_what_the_history_passed_through(recorded: Path) -> None:
    count, broken = judge_views(recorded)
    assert broken == []
    assert count > 60
    lines = [json.loads(line) for line in (recorded / VIEWS).read_text().splitlines()]
    seen = [line["queues"]["main"] for line in lines if "main" in line["queues"]]
    for name in SEEN_NUMBERS:
        assert len({one["numbers"][name] for one in seen}) > 1, f"{name} never moved"


@pytest.mark.parametrize("name", SEEN_NUMBERS)
def test_a_view_with_one_number_changed_is_found(
    name: str, tampered: Callable[[Callable[[dict[str, Any]], None]], Path]
) -> None:
    def change(view: dict[str, Any]) -> None:
        view["numbers"][name] += 1

    _, (broken,) = judge_views(tampered(change))
    assert (broken.invariant, broken.subject) == (7, "main")
    assert broken.sentence.startswith(f"{name} is seen as ")


STEPS = (
    PassedStep(1, "begin", after=(0,)),
    PassedStep(2, "enqueue", None, "pending"),
    PassedStep(3, "claim", "pending", "active"),
    PassedStep(4, "fail", "active", "dead"),
    PassedStep(5, "enqueue", None, "pending"),
)
NONE = dict.fromkeys(SEEN_NUMBERS, 0)
ACTIVE = SeenQueue(2, 4, NONE | {"enqueued": 1, "active": 1})
DEAD = SeenQueue(4, 4, NONE | {"enqueued": 1, "dead": 1, "failed_total": 1, "dead_total": 1})


def found(*views: SeenQueue, steps: tuple[PassedStep, ...] = STEPS) -> list[str]:
    return [each.sentence for each in judge_seen("q", views, steps)]


def test_a_state_is_looked_for_after_each_step_of_a_look() -> None:
    assert found(ACTIVE, DEAD) == []


def test_a_state_of_before_or_after_the_look_is_found() -> None:
    (sentence,) = found(attrs.evolve(ACTIVE, since=3, until=3), attrs.evolve(ACTIVE, since=4))
    assert sentence == (
        "active is seen as 1, and was 0 between step 4 and 4; dead is seen as 0, and was 1 between step 4 "
        "and 4; failed_total is seen as 0, and was 1 between step 4 and 4; dead_total is seen as 0, and was "
        "1 between step 4 and 4"
    )


def test_two_halves_of_different_states_are_found_where_a_queue_is_read_in_one_step() -> None:
    halves = SeenQueue(1, 5, NONE | {"enqueued": 1, "pending": 1, "dead": 1, "dead_total": 1})
    assert found(halves) == ["no state between step 1 and 5 has all of what is seen together"]


def test_a_queue_that_is_read_in_several_commands_may_be_seen_in_two_halves() -> None:
    halves = attrs.evolve(ACTIVE, numbers=ACTIVE.numbers | {"failed_total": 1, "dead_total": 1})
    assert found(halves) == []
    over = attrs.evolve(halves, numbers=halves.numbers | {"failed_total": 2})
    assert found(over) == ["failed_total is seen as 2, and was 0 to 1 between step 2 and 4"]


def test_a_step_that_is_missing_is_found_and_ends_the_judgment() -> None:
    steps = (*STEPS[:2], *STEPS[3:])
    assert found(ACTIVE, DEAD, steps=steps) == ["step 4 follows after step 2, and 3 was seen"]
    assert found(DEAD, steps=STEPS[:3]) == ["the history ends after step 3, and 4 was seen"]


@pytest.mark.parametrize(
    ("lately", "said"),
    [
        ({"totals": [0, 0], "failed": 0, "deaths": 0}, []),
        ({"totals": [1, 1], "failed": 1, "deaths": 1}, []),
        (
            {"totals": [1, 0], "failed": 1, "deaths": 0},
            ["(1, 0) failed attempts and dead tasks are seen, and never were by 4"],
        ),
        ({"totals": [1, 1], "failed": 2, "deaths": 0}, ["2 failed of late are seen, of 1 ever"]),
        ({"totals": [1, 1], "failed": 0, "deaths": 2}, ["2 deaths of late are seen, of 1 ever"]),
    ],
)
def test_what_happened_of_late_was_so_at_some_step_until_then(
    lately: dict[str, Any], said: list[str]
) -> None:
    assert found(attrs.evolve(DEAD, lately=lately)) == said


def test_a_run_that_nobody_looked_at_has_no_view(tmp_path: Path) -> None:
    assert judge_views(tmp_path) == (0, [])
