"""The benchmark of rates runs, and prints what it saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.rates import SETTINGS, fullest, main
from tests.servers import require_any_server, require_server


def test_it_prints_a_table_and_writes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = str(require_server(require_any_server()))
    kept = tmp_path / "figures.json"
    arguments = ["--seconds", "0.3", "--json", str(kept), "--server", server]
    monkeypatch.setattr(sys, "argv", ["rates", *arguments])
    main()
    assert "| 1,000/s |" in capsys.readouterr().out
    found = json.loads(kept.read_text())
    assert found["machine"]["command"].startswith("python -m benchmarks.rates --seconds 0.3")
    rows = found["parts"]["rates"][0]["rows"]
    assert len(rows) == len(SETTINGS)
    for _, reached, window, *_ in rows:
        assert float(reached.rstrip("%")) > 0
        seen, allowed = (int(part.replace(",", "")) for part in window.split(" of "))
        assert 0 < seen <= allowed


def test_the_fullest_period_is_found() -> None:
    assert [fullest([], 10), fullest([5], 10), fullest([0, 10, 20], 10)] == [0, 1, 1]
    assert fullest([0, 9, 10, 18, 19, 40], 10) == 3
