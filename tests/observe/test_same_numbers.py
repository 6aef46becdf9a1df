"""One snapshot in every form that there is: none of them tells a number differently."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.queue import show_list, show_queue
from rediq_trio.cli.operate.status import QUEUE_HEADS, show_brief
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.scaling import QueueScaling
from rediq_trio.observe.words import duration
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.limits import QueueLimits
from tests.observe.views import fleet, queue, worker

TOTALS = (
    "enqueued",
    "completed_total",
    "failed_total",
    "dead_total",
    "purged",
    "deleted",
    "batched",
)
COUNTS = (*(state.value for state in State), *TOTALS)
VIEW = fleet(
    queue("emails", workers=(), rate=0.5, oldest_pending_age=7_500.0,
          **{name: 1_000 + 37 * n for n, name in enumerate(COUNTS)}),
    workers=(worker("w", running=2), worker("x", running=3)),
)  # fmt: skip

Show = Callable[[Output], Any]


def text_and_json(show: Show, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    show(Output(False, None))
    text = capsys.readouterr().out
    show(Output(True, None))
    return text, json.loads(capsys.readouterr().out)


def numbers(text: str) -> list[int]:
    return [int(found.replace(",", "")) for found in re.findall(r"(?<![\w.])\d[\d,]*", text)]


def test_all_that_is_known_about_a_queue(capsys: pytest.CaptureFixture[str]) -> None:
    scaling = QueueScaling(
        desired=1_003, live=2, concurrency=4, latency=60, arrivals=8, running_time=2
    )
    text, found = text_and_json(
        lambda out: show_queue(out, VIEW, QueueLimits(), ["s"], scaling, 1536), capsys
    )
    stats = VIEW.queues[0].stats
    assert found["scaling"] == plain(scaling)
    assert "desired workers  1,003, 2 live" in text
    assert found["stats"] == plain(stats)
    said = dict(zip(COUNTS, numbers(text.partition("tasks now")[2]), strict=False))
    assert said == {name: found["stats"][name] for name in COUNTS}
    assert f"oldest pending   {duration(found['stats']['oldest_pending_age'])}" in text
    assert [
        f"{each['severity']}: {each['text']}. {each['next_step']}" for each in found["alerts"]
    ] == (text.splitlines()[-len(found["alerts"]) :])
    assert (found["series_bytes"], "1.5 KiB" in text) == (1536, True)
    assert len(found["alerts"]) == 2


@pytest.mark.parametrize("show", [show_list, show_brief])
def test_the_line_of_a_queue(show: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    text, found = text_and_json(lambda out: show(out, VIEW), capsys)
    seen = found if show is show_list else found["queues"][0]
    heads, line = text.splitlines()[:2]
    assert heads.split()[: len(QUEUE_HEADS)] == [*QUEUE_HEADS]
    assert line.split()[0] == seen["name"]
    stats = seen["stats"]
    assert numbers(line) == [
        stats["pending"], stats["active"], stats["scheduled"] + stats["blocked"] + stats["grouped"],
        stats["retry"], stats["dead"], *numbers(duration(stats["oldest_pending_age"])),
        len(seen["workers"]), *([30] if show is show_brief else []),
    ]  # fmt: skip
    if show is show_brief:
        assert (seen["rate"], line.split()[-1]) == (0.5, "30/min")
    assert duration(stats["oldest_pending_age"]) in line


def test_the_workers_and_the_alerts(capsys: pytest.CaptureFixture[str]) -> None:
    text, found = text_and_json(lambda out: show_brief(out, VIEW), capsys)
    running = sum(each["running"] for each in found["workers"])
    assert f"{len(found['workers'])} workers, {running} tasks running" in text
    first, *more = found["alerts"]
    assert (
        f"{first['severity']:<8}  {first['subject']}: {first['text']} (and {len(more)} more" in text
    )
    assert text.splitlines()[-1] == f"next: {first['next_step']}"
