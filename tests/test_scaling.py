"""The scaling bench runs, and tells what it saw."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.scaling.__main__ import main
from benchmarks.scaling.stage import Table, Timed, share
from tests.servers import require_any_server, require_server


def test_a_part_prints_tables_and_writes_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = str(require_server(require_any_server()))
    kept = tmp_path / "figures.json"
    arguments = ["--quick", "--only", "dead", "--json", str(kept), "--server", server]
    monkeypatch.setattr(sys, "argv", ["scaling", *arguments])
    main()
    printed = capsys.readouterr()
    assert "- command: python -m benchmarks.scaling --quick --only dead" in printed.out
    assert "| retry_all of 10,000 |" in printed.out
    assert "dead: " in printed.err
    (table,) = json.loads(kept.read_text())["parts"]["dead"]
    assert len(table["rows"]) == 5


def test_an_unknown_part_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--only", "dead,alive"])
    with pytest.raises(SystemExit):
        main()
    assert "'alive' is none of lengths" in capsys.readouterr().err


def test_a_table_is_markdown() -> None:
    table = Table("Title", ("what", "seen"), (("a", "1"), ("b", "2")))
    assert table.markdown() == "**Title**\n\n| what | seen |\n| --- | ---: |\n| a | 1 |\n| b | 2 |"


def test_shares_and_costs() -> None:
    assert [share([], 0.5), share([1, 2, 3, 4], 0.5), share([1, 2], 1.0)] == [0.0, 3, 2]
    assert Timed(2.0, 0.001, 0.0).cells(1000) == ("2", "500", "1", "< 1")
