"""The soak finds what grows and what is left, and nothing where nothing is."""

from __future__ import annotations

import random
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.chaos.soak.__main__ import parse
from tests.chaos.soak.looking import Look
from tests.chaos.soak.picture import FAILED, draw
from tests.chaos.soak.trend import trend
from tests.chaos.soak.verdict import BOUNDS, LEFT, judge, left_over, table

WITHIN = 240.0
"""Seconds for a run of some 20, on a busy machine."""


def looks(**slopes: float) -> list[Look]:
    """Make an hour's looks, with noise and outliers; a figure named here grows, so much a minute."""
    rng = random.Random(3)
    found = []
    for number in range(240):
        at = number * 15.0
        figures = {}
        for name in dict.fromkeys([*BOUNDS, *LEFT]):
            noise = rng.randint(0, 40) + (10_000 if rng.random() < 0.03 else 0)
            steady = (
                20 if name.split()[1] in ("files", "tasks", "clients", "keys") else 50_000 + noise
            )
            figures[name] = round(steady + slopes.get(name.replace(" ", "_"), 0.0) * at / 60)
        found.append(Look(at, figures, {"key": 5}))
    return found


def wrong(under_way: list[Look]) -> dict[str, str]:
    """Give what is said of each figure that failed."""
    return {row.name: row.wrong for row in judge(looks()[0], under_way, looks()[0]) if row.wrong}


def test_steady_figures_pass_whatever_their_noise() -> None:
    assert wrong(looks()) == {}


@pytest.mark.parametrize("name", [*BOUNDS])
def test_each_figure_that_grows_is_found(name: str) -> None:
    bound = BOUNDS[name]
    faster = max(2 * bound.slope, 1.5 * bound.rise / 30)
    assert [*wrong(looks(**{name.replace(" ", "_"): faster}))] == [name]


@pytest.mark.parametrize("name", [*LEFT])
def test_whatever_is_left_is_found(name: str) -> None:
    before = looks()[0]
    more = LEFT[name] + 1
    after = Look(1, {**before.figures, name: before.figures[name] + more}, {"key": 5, "another": 1})
    rows = judge(before, looks(), after)
    assert [row.name for row in rows if row.wrong] == [name]
    assert f"{more:,} more are left than there were before" in table(rows)
    assert left_over(before, after) == ["another: 1 more"]


def test_the_slope_does_not_care_for_outliers() -> None:
    points = [(60.0 * n, 3.0 * n) for n in range(30)]
    points[4], points[20] = (240.0, 900.0), (1200.0, -900.0)
    found = trend(points)
    assert found.slope == pytest.approx(3)
    assert found.low <= 3 <= found.high
    assert found.rise == pytest.approx(87)


def test_the_picture_has_a_panel_for_each_figure_and_marks_what_failed() -> None:
    under_way = looks(redis_used_kib=1000)
    root = ElementTree.fromstring(draw(under_way, judge(looks()[0], under_way, looks()[0])))
    texts = root.findall(".//{http://www.w3.org/2000/svg}text")
    assert {*BOUNDS} <= {text.text for text in texts}
    assert {text.text for text in texts if text.get("fill") == FAILED} >= {"redis used_kib"}
    assert sum(text.get("fill") == FAILED for text in texts) == 2


def test_too_few_looks_are_no_pass() -> None:
    with pytest.raises(ValueError, match="needs 8"):
        judge(looks()[0], looks()[:5], looks()[0])


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.chaos.soak", "--minutes", "0.1", "--brief", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)


@pytest.mark.slow
@pytest.mark.uncounted
def test_planted_leaks_are_found() -> None:
    said = soak("--plant", "objects,clients")
    assert said.returncode == 1, said.stdout + said.stderr
    lines = {line[:18].strip(): line for line in said.stdout.splitlines()}
    assert "FAILED: grows by" in lines["worker rss_kib"]
    assert "more are left than there were before" in lines["redis clients"]
    assert "more are left than there were before" in lines["producer files"]


@pytest.mark.slow
@pytest.mark.uncounted
def test_a_sound_run_passes() -> None:
    said = soak()
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.rstrip().endswith("passed")


@pytest.mark.parametrize("options", [("--plant", "trees"), ("--rate", "0"), ("--minutes", "-1")])
def test_bad_options_are_named(
    options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([*options])
    assert options[0] in capsys.readouterr().err
