"""The log of `rediq run`, as text and as JSON."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import Any

import pytest
import trio

from rediq_trio.cli.process.log_format import JsonFormatter, TextFormatter
from tests.cli.conftest import WITHIN, Place, Start, call, eventually

HOSTILE = "one\nERROR two\r\x1b[31m\x00\u2028\u202ethree"
ESCAPED = r"one\nERROR two\r\x1b[31m\x00\u2028\u202ethree"


def raised(*, cause: bool = False, note: bool = False) -> Any:
    try:
        try:
            raise KeyError(HOSTILE)
        except KeyError as error:
            group = ExceptionGroup(HOSTILE, [ValueError(HOSTILE)])
            if note:
                group.add_note(HOSTILE)
            raise group from (error if cause else None)
    except ExceptionGroup:
        return sys.exc_info()


def record_of(name: str = "shop", message: str = "said", **attributes: Any) -> logging.LogRecord:
    fields = {"name": name, "msg": message, "levelno": 40, "levelname": "ERROR", "process": 7}
    return logging.makeLogRecord(fields | attributes)


@pytest.mark.parametrize(("cause", "note"), [(False, False), (True, False), (True, True)])
def test_no_text_of_an_error_begins_a_line(cause: bool, note: bool) -> None:
    record = record_of(
        "shop", "failed: %s", args=(HOSTILE,), exc_info=raised(cause=cause, note=note)
    )
    first, *more = TextFormatter().format(record).split("\n")
    assert first.endswith(f"ERROR shop: failed: {ESCAPED}")
    assert all(line.startswith("  ") for line in more)
    whole = "\n".join(more)
    assert whole.isascii()
    assert "ERROR two" not in {line.strip("| ")[:9] for line in more}
    # Each message is on one line: the group's, the member's, the note's and the cause's.
    assert whole.count(ESCAPED) == 2 + note + cause
    assert whole.count("KeyError") == (2 if cause else 0)  # with the line of its `raise`


def test_the_worker_s_own_stacks_are_indented() -> None:
    record = record_of("rediq_trio.watchdog", "blocked\n  File \x1b[0m\nERROR: x")
    first, *more = TextFormatter().format(record).split("\n")
    assert first.endswith("rediq_trio.watchdog: blocked")
    assert more == ["    File \\x1b[0m", "  ERROR: x"]


def test_a_line_names_the_task_unless_its_message_does() -> None:
    fields = {"task_id": "shop/t", "type": "te\na", "attempt": 2, "trace_id": None}
    text = TextFormatter().format(record_of(**fields))
    assert text.endswith(r"ERROR shop: said [task_id=shop/t type=te\na attempt=2]")
    text = TextFormatter().format(record_of(message="task shop/t: said", **fields))
    assert text.endswith("ERROR shop: task shop/t: said")


def test_a_json_record_is_one_line_with_all_of_it() -> None:
    fields = {
        "task_id": "shop/t", "attempt": 2, "trace_id": None, "seen": {"a": [1]}, "far": math.inf,
        "thing": trio, "message_": HOSTILE, "level": "not the level",
    }  # fmt: skip
    record = record_of(message=HOSTILE, created=0.25, exc_info=raised(cause=True), **fields)
    text = JsonFormatter().format(record)
    assert text.splitlines() == [text]
    assert text.isascii()
    found = json.loads(text)
    assert "KeyError" in found.pop("traceback")
    assert found.pop("thing").startswith("<module 'trio'")
    assert found == {
        "time": "1970-01-01T00:00:00.250+00:00", "level": "ERROR", "logger": "shop", "message": HOSTILE,
        "process": 7, "task_id": "shop/t", "attempt": 2, "seen": {"a": [1]}, "far": "inf",
        "message_": HOSTILE, "error": "ExceptionGroup",
    }  # fmt: skip


@pytest.mark.parametrize("processes", [1, 2])
def test_run_writes_json_with_the_task_of_each_record(
    processes: int, cli_start: Start, cli_place: Place
) -> None:
    flags = ("--log-format=json", "--name=w", f"--processes={processes}")
    command = cli_start("run", "served:app", *cli_place.flags, *flags)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("warn", text=HOSTILE))
            await handle.wait(timeout=WITHIN)
            await eventually(lambda: _said(command.said(), "dead: "))

    trio.run(main)
    command.signal()
    assert command.end() == 0
    records = [json.loads(line) for line in command.said().splitlines()]
    (mine,) = [record for record in records if record["logger"] == "shop"]
    (dead,) = [record for record in records if "dead: " in record["message"]]
    assert mine["message"] == HOSTILE
    assert dead["message"].endswith(f"ValueError: {ESCAPED}")
    assert dead["error"] == "ValueError"
    for record in (mine, dead):
        worker = "w" if processes == 1 else record["worker"]
        assert record["worker"] == worker
        assert worker.startswith("w")
        assert (record["type"], record["queue"], record["attempt"]) == ("warn", "default", 1)
    assert mine["task_id"] == dead["task_id"]


def test_run_writes_one_line_for_each_record_of_text(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            await (await client.enqueue(call("warn", text=HOSTILE))).wait(timeout=WITHIN)
            await eventually(lambda: _said(command.said(), "dead: "))

    trio.run(main)
    command.signal()
    assert command.end() == 0
    (mine,) = [line for line in command.said().splitlines() if " WARNING shop: " in line]
    assert f"shop: {ESCAPED} [task_id=default/" in mine
    assert "type=warn attempt=1]" in mine
    assert not [line for line in command.said().splitlines() if line.startswith("ERROR two")]


async def _said(text: str, wanted: str) -> bool:
    return wanted in text


def test_a_log_that_the_app_has_configured_is_left_as_it_is(
    cli_start: Start, cli_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVED_CONFIGURES_LOGGING", "1")
    command = cli_start("run", "served:app", *cli_place.flags, "--log-format=json")
    trio.run(command.wait_said, "serves default")
    command.signal()
    assert command.end() == 0
    said = command.said()
    assert (
        "mine: --log-format=json has no effect, as the app's module has configured logging" in said
    )


def test_an_unknown_format_is_refused(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--log-format=xml")
    assert command.end() == 2
    assert "choose from" in command.said()
