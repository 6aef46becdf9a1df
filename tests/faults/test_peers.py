"""The comparison with peers: its sums, its tables, what it does about a peer that fails, and a small run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import pytest

from benchmarks.peers import record as recorded
from benchmarks.peers import venvs
from benchmarks.peers.__main__ import Progress, begin, parse, run
from benchmarks.peers.children import AdapterFailed, run_adapter
from benchmarks.peers.inside.adapter import HEAD, STAMP
from benchmarks.peers.looking import cpu, resident, session, stamps, tallied
from benchmarks.peers.measures import (
    MEASURES,
    QUICK,
    Stage,
    arrivals,
    gaps,
    saturating,
    share,
    steady,
    summed,
)
from benchmarks.peers.picture import draw
from benchmarks.peers.record import ROWS, Record, Sample, ratio
from benchmarks.peers.roster import OWN, ROSTER, Peer
from benchmarks.peers.tables import number, report
from benchmarks.processes import running

WITHIN = 240.0
"""Seconds for a run of some 15, on a busy machine."""
SVG = "{http://www.w3.org/2000/svg}"
DRAIN = next(row for row in ROWS if (row.measure, row.figure) == ("drain-1", "rate"))
CPU = next(row for row in ROWS if (row.measure, row.figure) == ("drain-1", "cpu_us"))


def peer(name: str) -> dict[str, object]:
    said = {"settings": "as it comes", "promise": "at least once"}
    return {**said, "shown": [name], "naps": 9, "versions": {name: "1.0"}}


def made() -> Record:
    """Make a record: three rounds, the second on a machine at half its speed, and a peer that failed."""
    found = Record(
        facts={"command": "python -m benchmarks.peers", "date": "today"}, options={"quick": True}
    )
    found.peers = {name: peer(name) for name in (OWN, "slow", "broken", "absent")}
    found.peers["absent"]["missing"] = "no such package"
    for round_, speed in ((1, 1.0), (2, 0.5), (3, 1.0)):
        found.add(Sample(round_, OWN, "drain-1", {"rate": 9000.0 * speed, "cpu_us": 30 / speed}))
        found.add(
            Sample(round_, "slow", "drain-1", {"rate": 1000.0 * speed, "cpu_us": 300 / speed})
        )
        found.add(Sample(round_, "broken", "drain-1", failed="ended with status 3: no | module"))
    return found


def test_a_measure_that_has_fewer_rounds_is_named() -> None:
    found = made()
    assert report(found, ROWS).startswith("Medians of 3 interleaved rounds, each drain")
    for round_ in (1, 2):
        found.add(Sample(round_, OWN, "idle", {"cpu": 0.1, "sent": 1.0, "inside": 2.0}))
    found.add(Sample(1, OWN, "memory", {"bytes": 475.0}))
    assert report(found, ROWS).startswith(
        "Medians of 3 interleaved rounds (1 of `memory`; 2 of `idle`), each drain"
    )


def test_ratios_are_taken_within_rounds_and_above_one_is_better() -> None:
    found = made()
    assert found.ratio(DRAIN, "slow") == pytest.approx(9)
    assert found.ratio(CPU, "slow") == pytest.approx(10)
    assert found.ratio(DRAIN, "broken") is None
    assert ratio({1: 10.0, 2: 40.0}, {2: 10.0, 3: 1.0}, least=False) == pytest.approx(4)
    assert ratio({1: 10.0}, {1: 0.0}, least=True) is None


def test_the_median_is_over_the_rounds_and_the_best_peer_is_not_the_library() -> None:
    found = made()
    assert found.median(DRAIN, OWN) == 9000
    assert found.median(CPU, "slow") == 300
    assert found.median(DRAIN, "absent") is None
    assert found.best(DRAIN) == "slow"
    assert Record(facts={}, options={}).best(DRAIN) is None


def test_the_report_has_every_peer_and_why_it_failed() -> None:
    said = report(made(), recorded.rows(["drain-1"]))
    lines = said.splitlines()
    head = next(line for line in lines if line.startswith("| median"))
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [OWN, "slow", "broken", "absent"]
    assert "| drain, 1 process, /s | 9,000 | 1,000 | – | – |" in lines
    assert "| drain, 1 process | 9.00 × | slow | 9.00 × | – | – |" in lines
    assert "- broken, drain-1: ended with status 3: no | module" in lines
    assert "- absent, not installed: no such package" in lines
    assert "- command: python -m benchmarks.peers" in lines


def test_every_table_has_as_many_cells_in_each_line() -> None:
    blocks = report(made(), ROWS).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.0, "0.00"), (3.14159, "3.14"), (31.4, "31.4"), (31415.9, "31,416")],
)
def test_a_figure_has_as_many_digits_as_it_is_worth(value: float | None, said: str) -> None:
    assert number(value) == said


def test_the_picture_has_a_panel_for_each_row_and_says_who_failed() -> None:
    root = ElementTree.fromstring(draw(made(), ROWS))
    texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    measured = [
        row for row in ROWS if row.measure == "drain-1" and row.figure in ("rate", "cpu_us")
    ]
    assert sum(text.startswith(tuple(row.title for row in measured)) for text in texts) == len(
        measured
    )
    assert texts.count("failed") == 2 * len(measured)
    assert len([*root.iter(f"{SVG}rect")]) == 2 * len(measured)
    assert {"python -m benchmarks.peers", "rediq-trio 1.0; slow 1.0; broken 1.0; absent 1.0"} <= {
        *texts
    }
    width = float(root.attrib["viewBox"].split()[2])
    assert all(float(text.get("x", "0")) <= width for text in root.iter(f"{SVG}text"))


def test_arrivals_are_fixed_by_their_seed_and_come_at_their_rate() -> None:
    found = arrivals(3, 2000.0, 5.0)
    assert found == arrivals(3, 2000.0, 5.0) != arrivals(4, 2000.0, 5.0)
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] < 5
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert len(arrivals(1, 0.001, 1.0)) == 1
    with pytest.raises(ValueError, match="above 0"):
        arrivals(1, 0.0, 1.0)


def test_tasks_for_an_idle_worker_come_some_way_apart() -> None:
    found = gaps(1, 50)
    apart = [later - at for at, later in pairwise(found)]
    assert len(found) == 50
    assert 0.02 <= min(apart) <= max(apart) <= 0.08


def test_percentiles_are_values_that_were_seen() -> None:
    assert share([1.0, 2.0, 3.0, 4.0], 0.5) == 3
    assert share([7.0], 0.99) == 7
    assert summed([n / 1000 for n in range(100, 0, -1)]) == pytest.approx(
        {"p50": 51, "p95": 96, "p99": 100}
    )


def test_half_the_load_is_of_what_came_through_in_the_same_round() -> None:
    assert saturating({"through": {"rate": 500.0}, "drain-1": {"rate": 800.0}}) == 500
    with pytest.raises(AdapterFailed, match="through was not measured"):
        saturating({"drain-1": {"rate": 800.0}})


def test_a_load_that_is_too_much_for_a_peer_is_not_offered(tmp_path: Path) -> None:
    stage = Stage(
        peer=ROSTER[0], python=tmp_path / "none", scale=QUICK, seen={"through": {"rate": 749.0}}
    )
    with pytest.raises(AdapterFailed, match="500 a second are too many: 749 saturate it"):
        steady(stage)


def test_tallies_of_all_processes_are_added_up(tmp_path: Path) -> None:
    assert tallied(tmp_path) == (0, None)
    (tmp_path / "1.tally").write_bytes(HEAD.pack(3, 7.5))
    (tmp_path / "2.tally").write_bytes(HEAD.pack(4, 6.5))
    (tmp_path / "3.tally").write_bytes(b"")  # one that is just made
    (tmp_path / "1.stamps").write_bytes(STAMP.pack(0, 2.0) + STAMP.pack(1, 3.0))
    (tmp_path / "2.stamps").write_bytes(STAMP.pack(0, 1.0) + STAMP.pack(5, 4.0)[:7])
    assert tallied(tmp_path) == (7, 6.5)
    assert stamps(tmp_path) == {0: 1.0, 1: 3.0}


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found, path = made(), tmp_path / "found.json"
    found.write(path)
    assert recorded.read(path) == found
    assert [*tmp_path.iterdir()] == [path]
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a record"):
        recorded.read(path)


def test_a_peer_that_failed_twice_is_not_asked_again() -> None:
    found = made()
    assert found.hopeless("broken", "drain-1")
    assert not found.hopeless("broken", "idle")
    assert not found.hopeless(OWN, "drain-1")


def test_a_run_goes_on_with_what_is_not_there_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    made().write(path)
    arguments = [
        "--only",
        OWN,
        "--metrics",
        "drain-1",
        "--runs",
        "3",
        "--quick",
        "--json",
        str(path),
    ]
    plan = parse([*arguments, "--resume"])
    found = begin(plan)
    run(plan, found, Progress())
    assert len(found.samples) == 9  # nothing was left to do
    assert "round" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="was measured with"):
        begin(attrs.evolve(plan, quick=False))


def test_every_peer_has_an_adapter_and_every_row_a_measure() -> None:
    assert all(peer.program.is_file() for peer in ROSTER)
    assert ROSTER[0].name == OWN
    assert {row.measure for row in ROWS} == {*MEASURES}
    assert len({(row.measure, row.figure) for row in ROWS}) == len(ROWS)


def test_other_requirements_have_another_environment(tmp_path: Path) -> None:
    one, other = ROSTER[1], attrs.evolve(ROSTER[1], requires=("streaq==1",))
    assert venvs.folder_of(one, tmp_path) != venvs.folder_of(other, tmp_path)
    assert venvs.make(ROSTER[0], tmp_path) == Path(sys.executable)
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_installed_says_why(tmp_path: Path) -> None:
    absent = attrs.evolve(ROSTER[1], requires=(str(tmp_path / "no-such-package.whl"),))
    with pytest.raises(venvs.NotInstalled, match="no-such-package"):
        venvs.make(absent, tmp_path / "made")


def test_load_brings_the_measures_that_it_needs_and_a_peer_the_library() -> None:
    plan = parse(["--only", "saq", "--metrics", "load"])
    assert plan.measures == ("through", "load")
    assert [peer.name for peer in plan.peers] == [OWN, "saq"]
    assert [(number, peer.name) for number, measure, peer in plan.steps() if measure == "load"][:3] == [
        (1, OWN), (1, "saq"), (2, OWN),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options", [("--runs", "0"), ("--only", "nobody"), ("--metrics", "nothing"), ("--resume",)]
)
def test_bad_options_are_named(
    options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([*options])
    assert options[0] in capsys.readouterr().err


def test_the_time_left_comes_from_what_such_measurements_took() -> None:
    progress = Progress()
    progress.took("idle", 20)
    progress.took("naps", 4)
    assert progress.left(["idle", "idle", "naps", "memory"]) == pytest.approx(56)


def adapter(folder: Path, text: str) -> Peer:
    """Make a peer whose adapter is this program."""

    @attrs.frozen(kw_only=True)
    class Odd(Peer):
        @property
        def program(self) -> Path:
            return folder / "odd.py"

    (folder / "odd.py").write_text(text)
    return Odd(
        name="odd", adapter="odd", requires=("odd",), concurrency=1, drains=100, sends=100, bulk=100,
        settings="none",
    )  # fmt: skip


@pytest.mark.usefixtures("embedded_server")
def test_an_adapter_that_fails_is_quoted(tmp_path: Path) -> None:
    odd = adapter(tmp_path, "raise SystemExit('out of order')")
    stage = Stage(peer=odd, python=Path(sys.executable), scale=QUICK)
    with pytest.raises(AdapterFailed, match=r"ended too early: out of order"):
        MEASURES["enqueue-single"](stage)


def test_an_adapter_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    odd = adapter(tmp_path, "import time; time.sleep(600)")
    with (
        run_adapter(Path(sys.executable), odd, "work") as child,
        pytest.raises(AdapterFailed, match=r"said nothing for 0\.1 s"),
    ):
        child.listen(0.1)


def test_what_an_adapter_started_ends_with_it(tmp_path: Path) -> None:
    text = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('{}', flush=True); input()"
    with run_adapter(Path(sys.executable), adapter(tmp_path, text), "work") as child:
        child.listen(WITHIN)
        pids = session([child.process.pid])
        assert len(pids) == 2
        assert resident(pids) > 1
        assert cpu(pids) >= 0
    give_up = time.monotonic() + WITHIN
    while [pid for pid in session([child.process.pid]) if not _zombie(pid)]:
        assert time.monotonic() < give_up


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def command(*options: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "benchmarks.peers",
        "--only",
        OWN,
        "--quick",
        "--runs",
        "1",
        *options,
    ]


@pytest.mark.slow
@pytest.mark.uncounted
def test_a_small_run_measures_the_library_end_to_end(tmp_path: Path) -> None:
    data, picture = tmp_path / "found.json", tmp_path / "found.svg"
    said = subprocess.run(
        command(
            "--metrics", "single,drain-1,drain-2,results,load,memory", "--json", str(data), "--svg", str(picture)
        ),
        capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert "What failed" not in said.stdout
    assert "round 1 of 1, drain-2" in said.stderr
    found = recorded.read(data)
    assert all(found.median(row, OWN) for row in recorded.rows(s.measure for s in found.samples))
    assert {*json.loads(data.read_text())["peers"][OWN]["versions"]} >= {
        "rediq-trio",
        "trio",
        "redis",
    }
    assert ElementTree.parse(picture).getroot().tag == f"{SVG}svg"


@pytest.mark.usefixtures("embedded_server")
def test_a_run_that_is_stopped_leaves_no_process_and_keeps_what_it_has(tmp_path: Path) -> None:
    data = tmp_path / "found.json"
    # Every temporary folder, and so every command line of a server, is below this one.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        command("--metrics", "single,idle", "--json", str(data)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    give_up = time.monotonic() + WITHIN
    while not data.exists() and time.monotonic() < give_up:
        time.sleep(0.05)  # nothing tells when a file comes to be
    child.send_signal(signal.SIGTERM)
    child.wait(WITHIN)
    assert recorded.read(data).has(1, OWN, "enqueue-single")
    assert not [pid for pid in _running(str(tmp_path)) if not _zombie(pid)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_program_starts_leaves_no_process(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, ended = subprocess.Popen, []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        child = real(*arguments, **options)
        signal.raise_signal(number)  # as if it came within the call
        return child

    def end(child: subprocess.Popen[bytes]) -> None:
        child.kill()
        ended.append(child.wait(WITHIN))

    monkeypatch.setattr(subprocess, "Popen", start)
    # Of its own: a shell that started the tests in the background has SIGINT ignored.
    before = signal.signal(number, lambda *_: sys.exit(143))
    try:
        with pytest.raises(SystemExit), running(["sleep", "600"], end):
            pytest.fail("the block began")
        assert ended == [-signal.SIGKILL]
        with pytest.raises(FileNotFoundError), running(["no-such-program"], end):
            pytest.fail("the block began")
        with pytest.raises(SystemExit):
            signal.raise_signal(number)  # handled as before
    finally:
        signal.signal(number, before)


def _running(word: str) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                line = (path / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if word in line:
                found.append(int(path.name))
    return found
