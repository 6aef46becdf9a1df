"""The benchmark of the test kit runs, and says which figures it misses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from benchmarks.operate.rows import Row
from benchmarks.testkit import __main__ as testkit


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.getLogger("rediq_trio")
    monkeypatch.setattr(log, "level", log.level)


def test_its_cheap_parts_are_measured_beside_their_bounds_and_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "figures.json"
    status = testkit.main(["--quick", "--only", "task,crash,memory", "--json", str(kept)])
    printed = capsys.readouterr()
    written = json.loads(kept.read_text())
    rows = [Row(**row) for name in ("task", "crash", "memory") for row in written["rows"][name]]
    assert [row.bound for row in rows] == [20, 0.5, 0.4]
    assert all(row.value for row in rows)
    assert "15 interruptions, 5 bad" in printed.out
    missed = [row.what for row in rows if not row.met]  # by the speed of this machine
    assert status == (1 if missed else 0)
    assert printed.out.endswith(f"missed: {'; '.join(missed) or 'nothing'}\n")


def test_a_bound_that_is_missed_is_named_and_the_status_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row("slow", 3, "s", 2), Row("fast", 1, "s", 2), Row("other", None, "", note="not there")]
    monkeypatch.setattr(testkit, "PARTS", {"one": lambda quick: rows})
    assert testkit.main(["--quick"]) == 1
    printed = capsys.readouterr().out
    assert "| slow | 3 s | <= 2 s | 1.5 | no |" in printed
    assert printed.endswith("missed: slow\n")


def test_a_part_that_is_unknown_is_refused_and_the_others_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        testkit.main(["--only", "task,tusk"])
    assert f"'tusk' is none of {', '.join(testkit.PARTS)}" in capsys.readouterr().err
