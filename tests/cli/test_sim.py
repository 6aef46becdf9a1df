"""`rediq sim`: the bank of the documentation in storms, plans that are run again, and bad arguments."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

from rediq_trio.cli.main import main
from rediq_trio.testing.fleets.plan import Fault, FaultKind, FaultPlan, Work
from rediq_trio.testing.fleets.plan_files import read_plan, save_plan
from tests.cli.conftest import WITHIN, cli_environment
from tests.cli.test_terminal import terminal

BANK = Path(__file__).parents[2] / "docs" / "examples" / "bank"
STORY = ["storm_transfers:story.make", "--at-rest", "story.no_transfer_is_made_twice"]
STORMS = ["--seed", "60", "--seeds", "500", "--hours", "0.02"]
"""Seeds of which the third finds the double transfer."""
SHOP = '''\
import os, signal
import trio
import rediq_trio as rediq
from rediq_trio.testing import Faults, Scenario, Work, sometimes

count = 0

def make():
    global count
    count += 1
    app = rediq.App("shop")

    @app.task("pay")
    async def pay(order):
        sometimes("a payment")
        if count == 4 and "INTERRUPTED" in os.environ:
            os.kill(int(os.environ["INTERRUPTED"]) or os.getpid(), signal.SIGINT)
        await trio.sleep(0.1)

    @app.task("thread")
    async def thread():
        await trio.to_thread.run_sync(int)

    return app

async def make_async(): ...

def make_nothing(): ...

def works(random):
    return [Work("pay", {"order": n}, at=n) for n in range(3)]

CALM = Scenario(work=works, faults=Faults(kinds=[], most=0))
SAME = CALM
'''


@attrs.frozen
class SimSaid:
    """What the command printed."""

    status: int
    out: str
    err: str


Sim = Callable[..., SimSaid]


@pytest.fixture
def sim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sim:
    """Return what runs the command in a folder of its own, in this process."""
    monkeypatch.syspath_prepend(str(BANK))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("bank", "storm", "transfers", "storm_transfers", "shop", "two", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> SimSaid:
        capsys.readouterr()
        return SimSaid(main(["sim", *arguments]), *capsys.readouterr())

    return run


def in_process(
    folder: Path, *arguments: str, program: Sequence[str] = ("-m", "rediq_trio"), **more: str
) -> SimSaid:
    """Run the command in a process of its own."""
    (folder / "shop.py").write_text(SHOP)
    done = subprocess.run(
        [sys.executable, *program, "sim", *arguments], cwd=folder, env=cli_environment(**more),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN * 2, check=False,
    )  # fmt: skip
    return SimSaid(done.returncode, done.stdout, done.stderr)


def test_the_double_transfer_is_found_kept_drawn_and_run_again(sim: Sim, tmp_path: Path) -> None:
    found = sim(*STORY, *STORMS, "--svg", "storm.svg")
    assert found.status == 1
    assert found.err == "drawn in storm.svg\n"
    lines = found.out.splitlines()
    assert lines[0].startswith("BROKEN no_transfer_is_made_twice: AssertionError: ['default/")
    assert lines[1].startswith("seed 62, ")
    assert lines[1].endswith(" to 2")
    assert lines[2] == "1 server, 1 s, no noise"
    assert "  bank:transfer(amount=10) of client c0 at 0 s" in lines
    assert any("FAULT kill w0" in line for line in lines)
    assert any(line.startswith("3 runs from seed 60, 0.0") for line in lines)
    assert any(line.endswith("  attempts do not overlap") for line in lines)
    assert "no promise was broken" not in found.out

    drawn = ElementTree.fromstring((tmp_path / "storm.svg").read_text("utf-8"))
    assert "no_transfer_is_made_twice" in " ".join(drawn.itertext())
    path = Path(".rediq/plans/seed-62.json")
    assert read_plan(path).size == 2
    assert {*os.listdir(tmp_path)} - {"__pycache__"} == {".rediq", "shop.py", "storm.svg"}
    assert os.listdir(path.parent) == [path.name]

    (command,) = (line for line in lines if line.startswith("  rediq sim "))
    assert command.endswith(f"--plan {path}")
    again = sim(*shlex.split(command)[2:])
    assert again.status == 1
    # The same run: only the line with the counts of the seed differs.
    assert again.out.splitlines()[1] == "seed 62, 2 parts"
    assert again.out.splitlines()[2:19] == lines[2:19]

    two = tmp_path / "two"
    two.mkdir()
    os.chdir(two)
    assert sim(*STORY, *STORMS, "--jobs", "2").out == found.out


def test_a_kept_plan_runs_first_and_its_failure_is_json_for_programs(sim: Sim, tmp_path: Path) -> None:
    work = Work("bank:transfer", {"amount": 10}, {"max_crashes": 9})
    kill = Fault(kind=FaultKind.KILL, host="w0", effect="step", nth=3)
    plan = FaultPlan(seed=9, servers=1, seconds=1.0, works=[work], faults=[kill])
    save_plan(plan, tmp_path / ".rediq" / "plans" / "seed-9.json")
    said = sim(*STORY, "--seed", "5", "--json")
    assert (said.status, said.err) == (1, "")
    found = json.loads(said.out)
    assert (found["runs"], found["seed"], found["interrupted"]) == (1, 5, False)
    assert found["faults"] == {"kill": 1}
    failure = found["failure"]
    assert failure["promise"] == "no_transfer_is_made_twice"
    assert (failure["seed"], failure["parts"], failure["shrink_runs"]) == (9, 2, 0)
    assert failure["plan"] == ".rediq/plans/seed-9.json"
    assert any("FAULT kill w0" in line for line in failure["timeline"])


def test_what_was_run_is_reported_if_nothing_is_broken(sim: Sim, tmp_path: Path) -> None:
    said = sim("shop:make", "--seeds", "2", "--seed", "7", "--hours", "0.001", "--svg", "x.svg")
    assert (said.status, said.err) == (0, "nothing was broken, so nothing is drawn\n")
    lines = said.out.splitlines()
    assert lines[0].startswith("2 runs from seed 7, 0.0")
    assert lines[-3:] == ["seen by sometimes():", "          6  a payment", "no promise was broken"]
    assert not (tmp_path / "x.svg").exists()
    assert not (tmp_path / ".rediq").exists()
    two = sim("shop:make", "--seeds", "2", "--seed", "7", "--hours", "0.001", "--jobs", "2")
    assert two.out == said.out


def test_a_run_that_cannot_go_on_names_its_seed_and_says_why(sim: Sim, tmp_path: Path) -> None:
    scenario = "from shop import make, Scenario, Work\nS = Scenario(work=lambda random: [Work('thread')])\n"
    (tmp_path / "broken.py").write_text(scenario)
    for jobs in ("1", "2"):
        said = sim("broken:make", "--seed", "3", "--hours", "0.001", "--jobs", jobs)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("rediq: a simulation has no threads, sockets and processes")
        assert said.err.endswith("in the run of seed 3\n")
        assert "thread" in said.err.splitlines()[1]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_it_with_what_was_run_until_then(tmp_path: Path, jobs: str) -> None:
    # The handler of the third run interrupts this process, or the one that has started it. The first
    # call of the function is the one that checks it.
    who = "'0'" if jobs == "1" else "str(os.getpid())"
    program = (
        f"import os, sys; os.environ['INTERRUPTED'] = {who}; "
        "from rediq_trio.cli.main import run_process; sys.exit(run_process())"
    )
    said = in_process(
        tmp_path, "shop:make", "--seeds", "100000", "--seed", "1", "--hours", "0.001", "--jobs", jobs,
        program=["-c", program],
    )  # fmt: skip
    assert said.status == 130
    assert said.err == "rediq: interrupted: these are the runs until then\n"
    runs, of, *_ = said.out.split()
    assert of == "runs"
    assert int(runs) == 2 if jobs == "1" else int(runs) >= 2
    assert "no promise was broken" not in said.out


def test_it_needs_no_package_of_the_extra_for_tests(tmp_path: Path) -> None:
    without = (
        "import sys; sys.modules |= dict.fromkeys(('hypothesis', 'pytest')); "
        "from rediq_trio.cli.main import run_process; sys.exit(run_process())"
    )
    said = in_process(tmp_path, "shop:make", "--seeds", "1", "--hours", "0.001", program=["-c", without])
    assert (said.status, said.err) == (0, "")


def test_a_terminal_shows_how_many_seeds_were_run(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    path = os.pathsep.join([str(tmp_path), cli_environment()["PYTHONPATH"]])
    arguments = ["shop:make", "--seeds", "3", "--hours", "0.001", "--jobs", "2"]
    with terminal("sim", *arguments, PYTHONPATH=path) as shown:
        text = shown.read_until("")
    assert "seeds" in text
    assert "3/3" in text
    assert "no promise was broken" in text
    assert shown.child.wait(WITHIN) == 0


SHOP_RUN = ["shop:make", "--hours", "0.001"]
BAD = {
    "app='shop:make_nothing': returns a NoneType, no App": ["shop:make_nothing"],
    "app='shop:make_async': returns a coroutine, no App": ["shop:make_async"],
    "app='shop:count': is of type int, neither an App nor a function that returns one; it has shop:make,": [
        "shop:count"
    ],
    "app='shop:works': calling it without arguments failed: TypeError: works() missing 1": ["shop:works"],
    "app='shop:mkae': shop has no 'mkae'; it has shop:make": ["shop:mkae"],
    "app: there is no module 'nowhere'": ["nowhere:make"],
    "seeds=0: must be a whole number from 1 to 10,000,000": [*SHOP_RUN, "--seeds=0"],
    "seeds='many': must be a whole number": [*SHOP_RUN, "--seeds=many"],
    "seed=-1: must be a whole number from 0": [*SHOP_RUN, "--seed=-1"],
    "hours=nan: must be a number above 0 to 24": ["shop:make", "--hours=nan"],
    "servers=101: must be a whole number from 1 to 100": [*SHOP_RUN, "--servers=101"],
    "jobs=0: must be a whole number from 1 to 256": [*SHOP_RUN, "--jobs=0"],
    "minutes=0.0: must be a number above 0": [*SHOP_RUN, "--minutes=0"],
    "scenario='make': is of type function, no Scenario; shop has CALM": [*SHOP_RUN, "--scenario=make"],
    "scenario='bank:STORM': bank has no 'STORM'; bank has no Scenario": [
        *SHOP_RUN, "--scenario=bank:STORM",
    ],
    "scenario: transfers has no Scenario": ["three:make"],
    "scenario: two has A, B: name one of them with --scenario": ["two:make"],
    "scenario: its work failed: ZeroDivisionError": ["two:make", "--scenario=A"],
    "at_rest='shop:nobody': shop has no 'nobody'": [*SHOP_RUN, "--at-rest=nobody"],
    "invariant='count': is of type int, no function of a SimulatedFleet": [*SHOP_RUN, "--invariant=count"],
    "plan='gone.json': No such file or directory": ["shop:make", "--plan=gone.json"],
    "cut.json, line 1: ": ["shop:make", "--plan=cut.json"],
    "sim: --plan is one run, and goes without --jobs": ["shop:make", "--plan=x", "--jobs=2"],
    "svg='gone/x.svg': must be in a folder that is there": [*SHOP_RUN, "--svg=gone/x.svg"],
    "svg='.': must be a file, not a folder": [*SHOP_RUN, "--svg=."],
}  # fmt: skip
"""What is said of bad arguments."""


@pytest.mark.parametrize("said", BAD)
def test_bad_arguments_are_named_and_nothing_is_run_or_written(
    said: str, sim: Sim, tmp_path: Path
) -> None:
    (tmp_path / "two.py").write_text(
        "from shop import make, Scenario\nA, B = (Scenario(work=lambda random: 1 / 0) for _ in 'ab')\n"
    )
    (tmp_path / "three.py").write_text("from shop import make\n__name__ = 'transfers'\n")
    (tmp_path / "cut.json").write_text('{"format": 1, "se')
    before = sorted(os.listdir(tmp_path))
    found = sim(*BAD[said])
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("rediq: ")
    assert said in found.err
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_that_cannot_keep_plans_is_told_before_anything_runs(sim: Sim, tmp_path: Path) -> None:
    (tmp_path / ".rediq").write_text("a file")
    said = sim(*SHOP_RUN)
    assert (said.status, said.out) == (2, "")
    assert "keep='.rediq/plans/seed.json': must be in a folder that is there" in said.err
