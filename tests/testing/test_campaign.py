"""The campaign of our own worker, as CI runs it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from tests.testing.campaign import main

CI = Path(__file__).parents[2] / ".ci" / "run"


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> None:
    # The command turns the log off until its process ends.
    monkeypatch.setattr(logging.root.manager, "disable", logging.root.manager.disable)


def test_a_campaign_of_minutes_draws_its_first_seed_and_says_how_many_hours_it_ran(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    firsts = set[str]()
    for _ in range(2):
        assert main(["--minutes", "0.01", "--keep", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        first, report, *_ = printed.splitlines()
        firsts.add(first)
        assert re.fullmatch(r"from seed \d+", first)
        assert re.match(r"[1-9]\d* runs, 0\.\d\d simulated hours; faults: ", report)
        assert printed.splitlines()[-1].startswith("never: ")
    assert len(firsts) == 2


def test_a_campaign_of_seeds_begins_with_the_first_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--seeds", "1", "--keep", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("from seed 0\n1 runs, ")
    assert main(["--seeds", "1", "--first", "7", "--keep", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("from seed 7\n1 runs, ")


def test_ci_runs_a_campaign_of_at_most_four_minutes() -> None:
    (minutes,) = re.findall(r"python -m tests\.testing\.campaign --minutes (\d+)", CI.read_text("utf-8"))
    assert 1 <= int(minutes) <= 4
