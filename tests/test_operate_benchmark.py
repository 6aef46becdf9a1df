"""The benchmark of looking runs, and its rows come from one table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.operate import page
from benchmarks.operate.__main__ import PARTS, main
from benchmarks.operate.rows import COLUMNS, Row, table
from tests.servers import require_any_server, require_server


def test_it_prints_its_rows_beside_their_bounds_and_writes_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server = str(require_server(require_any_server()))
    kept = tmp_path / "figures.json"
    arguments = ["--quick", "--only", "overview,drain,traces", "--json", str(kept), "--server", server]
    monkeypatch.setattr(sys, "argv", ["operate", *arguments])
    main()
    printed = capsys.readouterr()
    written = json.loads(kept.read_text())
    rows = [Row(**row) for name in ("overview", "drain", "traces") for row in written["rows"][name]]
    assert [row.what for row in rows[:2]] == [
        "overview of 100 queues, in Redis",
        "overview of 100 queues, in all",
    ]
    assert all(row.value for row in rows)
    assert table("", rows).markdown().splitlines()[2:] == [
        line for line in printed.out.splitlines() if line.startswith("|")
    ]
    assert f"--only overview,drain,traces --json {kept}" in written["machine"]["command"]
    (shown,) = written["parts"]["operate"]
    assert shown["rows"] == [list(row.cells()) for row in rows]
    assert "overview: " in printed.err


def test_it_measures_the_page_as_browsers_ask_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = str(require_server(require_any_server()))
    kept = tmp_path / "figures.json"
    parts = ("page", "browsers", "page-retry", "page-memory")
    arguments = ["--quick", "--only", ",".join(parts), "--json", str(kept), "--server", server]
    monkeypatch.setattr(sys, "argv", ["operate", *arguments])
    for name in ("MANY_DEAD", "MANY_PENDING", "REQUESTS_MANY"):
        monkeypatch.setattr(page, name, 5_000)
    monkeypatch.setattr(page, "REQUESTS_FEW", 500)
    monkeypatch.setattr(page, "RUNS", 1)
    monkeypatch.setattr(page, "FORGOTTEN", 0.5)
    monkeypatch.setattr(page, "WATCHED", 2.0)
    main()
    written = json.loads(kept.read_text())
    rows = [Row(**row) for name in parts for row in written["rows"][name]]
    # None is judged here but those that no busy machine changes.
    figures = {row.what: row for row in rows}
    assert all(row.value is not None for row in rows)
    assert figures["calls from 5 s after the last has left"].value == 0
    assert figures["bytes of look.js"].met
    assert figures["bytes of look.css"].met
    assert figures["memory of the page after 500 requests"].met


def test_a_part_that_is_unknown_is_refused_and_the_others_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["operate", "--only", "dead,alive"])
    with pytest.raises(SystemExit):
        main()
    assert f"'alive' is none of {', '.join(PARTS)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "measured", "reach", "ratio", "met"),
    [
        (Row("a", 50, "ms", 100), "50 ms", "<= 100 ms", "0.5", "yes"),
        (Row("a", 150, "ms", 100), "150 ms", "<= 100 ms", "1.5", "no"),
        (Row("a", 0.98, "", 0.97, least=True), "0.98", ">= 0.97", "1.01", "yes"),
        (Row("a", 0.9, "", 0.97, least=True, note="9/s"), "0.9 (9/s)", ">= 0.97", "0.928", "no"),
        (Row("a", None, "", note="not there"), "not there", "", "", ""),
        (Row("a", 7, "ms"), "7 ms", "", "", ""),
    ],
)
def test_a_row_says_whether_its_bound_is_met(
    row: Row, measured: str, reach: str, ratio: str, met: str
) -> None:
    assert dict(zip(COLUMNS, row.cells(), strict=True)) == {
        "what": "a", "measured": measured, "to reach": reach, "measured / to reach": ratio, "met": met,
    }  # fmt: skip
