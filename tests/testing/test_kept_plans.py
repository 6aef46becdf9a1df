"""Plans that once made a worker break a promise: none does any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from rediq_trio.testing.fleets.plan_files import read_plan
from rediq_trio.testing.fleets.simulate import replay
from tests.testing.campaign import KEPT_ALARMS
from tests.testing.fleets.storm import STORM, make
from tests.testing.planted_bugs import DIRECTED

KEPT = sorted(KEPT_ALARMS.glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_plan_breaks_no_promise(path: Path) -> None:
    assert replay(path, make, STORM).runs >= 1


def test_the_plan_of_a_start_on_a_lease_that_is_over_is_kept_and_finds_that_bug() -> None:
    # The slow tests show that it does: with the guard taken out, the directed plans of the sample fail.
    (kept,) = [path for path in KEPT if path.stem == "a-handler-begins-on-a-lease-that-is-over"]
    assert read_plan(kept) == DIRECTED["a handler begins on a lease that is over"]
