"""`rediq history` and `rediq replay`: real processes, and histories of a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from tests.cli.conftest import WITHIN, Place, Start, call, cli_call, cli_environment, eventually


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return str(path)


HEAD = {"rediq_history": 1, "queue": "q", "paused": False, "fair": False, "limits": {}}
BEGIN = {"step": 1, "now_ms": 5, "event": "begin", "after": [0]}
ENQUEUE = {
    "step": 2, "now_ms": 5, "event": "enqueue", "id": "t", "target": "pending", "seq": 1,
    "run_ms": 5, "max_retry": 3, "max_crashes": 3, "priority": 50,
}  # fmt: skip
CLAIM = ENQUEUE | {
    "step": 3, "event": "claim", "source": "pending", "target": "active", "deliveries": 1,
    "attempt": 1, "nonce": "00ff", "worker": "w", "till_ms": 35,
}  # fmt: skip
GOOD = [HEAD, BEGIN, ENQUEUE, CLAIM]


def test_what_workers_did_is_written_and_keeps_to_the_specification(
    cli_start: Start, cli_place: Place, tmp_path: Path
) -> None:
    command = cli_start("run", "served:app", "--history=100", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            await eventually(client.workers)
            handles = await client.enqueue_many([call("pid") for _ in range(5)])
            for handle in handles:
                assert await handle.result(timeout=WITHIN) == command.pid

    trio.run(main)
    command.signal()
    assert command.end() == 0
    file = str(tmp_path / "history.jsonl")
    written = cli_call("history", "default", "--output", file, *cli_place.flags)
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    head, begin, *steps = [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]
    assert (head["rediq_history"], head["queue"], head["kept"]) == (1, "default", 100)
    assert (begin["event"], begin["after"]) == ("begin", [0])
    assert sorted(step["event"] for step in steps) == (
        ["claim"] * 5 + ["complete"] * 5 + ["enqueue"] * 5
    )
    replayed = cli_call("replay", file)
    assert replayed.returncode == 0
    assert replayed.stdout == (
        "default: 16 steps, from its beginning\n  keeps to the specification\n"
    )
    printed = cli_call("history", "default", *cli_place.flags)
    assert printed.stdout == Path(file).read_text("utf-8")


def test_each_partition_is_a_history_of_its_own(cli_place: Place, tmp_path: Path) -> None:
    async def main() -> None:
        async with cli_place.client() as client:
            queue = client.queue("wide")
            await queue.partition(2)
            await queue.keep_history(10)
            await client.enqueue_many([rediq.Task("any", {}, queue="wide") for _ in range(9)])

    trio.run(main)
    file = str(tmp_path / "h")
    assert cli_call("history", "wide", "--output", file, *cli_place.flags).returncode == 0
    said = cli_call("replay", "--json", file)
    verdicts = [json.loads(line) for line in said.stdout.splitlines()]
    assert {v["rediq"] for v in verdicts} == {1}
    assert (said.returncode, [v["queue"] for v in verdicts]) == (0, ["wide", "wide~0", "wide~1"])
    assert sum(v["steps"] for v in verdicts) == 3 + 9
    assert all(v["breaks"] == 0 and v["first"] is None for v in verdicts)


def test_a_queue_that_keeps_none_says_what_to_do(cli_place: Place) -> None:
    assert cli_call("history", "default", *cli_place.flags).returncode == 3
    put(cli_place, "default")
    found = cli_call("history", "default", *cli_place.flags)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "keeps no history: set history=" in found.stderr


def put(place: Place, queue: str) -> None:
    async def main() -> None:
        async with place.client() as client:
            await client.enqueue(rediq.Task("any", {}, queue=queue))

    trio.run(main)


def test_the_first_step_that_breaks_is_named_with_its_task(tmp_path: Path) -> None:
    late = CLAIM | {"step": 4, "event": "release", "source": "active", "target": "pending"}
    again = CLAIM | {"step": 5, "deliveries": 2, "attempt": 2, "nonce": "01"}
    file = write(tmp_path / "h", [*GOOD, late, again])
    found = cli_call("replay", file)
    assert (found.returncode, found.stderr) == (1, "")
    lines = found.stdout.splitlines()
    assert lines[:2] == [
        "q: 5 steps, from its beginning",
        "  BREAKS the specification at step 4, release of t: invariant 4: "
        "attempt is 1, should be 0",
    ]
    assert lines[2:] == [
        "    step 2 at 5 ms, enqueue: - -> pending, delivery 0, attempt 0",
        "    step 3 at 5 ms, claim: pending -> active, delivery 1, attempt 1, by w",
        "    step 4 at 5 ms, release: active -> pending, delivery 1, attempt 1, by w",
    ]
    verdict = json.loads(cli_call("replay", "--json", file).stdout)
    assert (verdict["steps"], verdict["whole"], verdict["breaks"]) == (5, True, 1)
    first = verdict["first"]
    assert (first["step"], first["event"], first["task"], first["invariant"]) == (
        4, "release", "t", 4,
    )  # fmt: skip


def test_later_breaks_are_counted_and_a_step_of_a_queue_is_told(tmp_path: Path) -> None:
    flush = {"step": 4, "now_ms": 9, "event": "flush", "after": [7]}
    file = write(tmp_path / "h", [*GOOD, flush, CLAIM | {"step": 6}])
    lines = cli_call("replay", file).stdout.splitlines()
    assert lines[1].endswith("step 4, flush: invariant 2: 7 tasks went, should be 1")
    assert lines[-1] == "  and 3 times later, which may follow from it"
    assert "    step 4, flush: [] -> [7]" in lines


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no history in 0 lines"),
        ([BEGIN], "line 1 is not a line of a history: the first line has no 'rediq_history'"),
        ([HEAD | {"rediq_history": 2}], "line 1 is not a line of a history: version 2; this one"),
        ([HEAD | {"queue": 1}], "queue is 1"),
        ([HEAD | {"paused": 1}], "paused is 1"),
        ([HEAD | {"limits": []}], "limits is []"),
        ([HEAD | {"limits": {"k": [1, 2, 3, "x"]}}], "limits is 'x'"),
        ([HEAD | {"limits": {"k": [1, 2, 3, 4, 5]}}], "line 1 is not a line"),
        ([HEAD, []], "line 2 is not a line of a history: not a JSON object"),
        ([HEAD, {"event": "pause"}], "line 2 is not a line"),
        ([HEAD, BEGIN | {"eaten": 1}], "there is no field 'eaten'"),
        ([HEAD, BEGIN | {"step": True}], "step is True"),
        ([HEAD, BEGIN | {"step": -1}], "step is -1"),
        ([HEAD, BEGIN | {"step": 2**60}], f"step is {2**60}"),
        ([HEAD, BEGIN | {"after": []}], "a step 'begin' cannot have 0 and 0 numbers"),
        ([HEAD, ENQUEUE | {"target": "gone"}], "'gone' is not a valid State"),
        ([HEAD, ENQUEUE | {"nonce": "zz"}], "line 2 is not a line"),
        ([HEAD, ENQUEUE | {"needs": "a"}], "needs is 'a'"),
        ([HEAD, ENQUEUE | {"lenient": 1}], "lenient is 1"),
    ],
)
def test_a_file_that_is_no_history_is_status_2(
    lines: list[Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rediq_trio.cli.main import main

    assert main(["replay", write(tmp_path / "h", lines)]) == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert errors.startswith(f"rediq: {tmp_path / 'h'}: ")
    assert said in errors


def test_a_file_that_cannot_be_read_or_written_is_status_2(
    tmp_path: Path, cli_place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    from rediq_trio.cli.main import main

    assert main(["replay", str(tmp_path / "none")]) == 2
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert main(["replay", str(tmp_path / "bytes")]) == 2
    (tmp_path / "text").write_text("{", "utf-8")
    assert main(["replay", str(tmp_path / "text")]) == 2
    put(cli_place, "q")
    output = str(tmp_path / "no" / "folder")
    assert main(["history", "q", "--output", output, *cli_place.flags]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[-1] for line in said[:2]] == [
        "No such file or directory", "invalid start byte",
    ]  # fmt: skip
    assert "line 1 is not a line of a history" in said[2]
    assert "No such file or directory" in said[3]


def test_a_history_is_read_from_standard_input(tmp_path: Path) -> None:
    file = write(tmp_path / "h", [HEAD, ENQUEUE, HEAD | {"queue": "r"}, BEGIN])
    command = [sys.executable, "-m", "rediq_trio", "replay", "-", "--timeout=60s"]
    with open(file, encoding="utf-8") as opened:
        found = subprocess.run(
            command, env=cli_environment(), stdin=opened, capture_output=True, text=True,
            timeout=WITHIN, check=False,
        )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[::2] == [
        "q: 1 steps, its beginning is not known", "r: 1 steps, from its beginning",
    ]  # fmt: skip
