"""A seed replays to the byte: in another process, and with other hash seeds."""

from __future__ import annotations

import pytest

from tests.testing.determinism import compare


@pytest.mark.parametrize(
    ("seeds", "times"),
    [
        pytest.param(2, 1, id="2 seeds"),
        pytest.param(20, 2, id="20 seeds", marks=pytest.mark.slow),
    ],
)
def test_a_seed_has_the_same_history_in_each_process(seeds: int, times: int) -> None:
    compare(0, seeds, times)
