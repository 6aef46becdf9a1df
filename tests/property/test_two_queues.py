"""Two queues that depend on one another come to rest, whatever their relays do."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.property.two_queues import TwoQueues


@pytest.mark.uncounted
def test_nobody_waits_for_ever_and_nothing_comes_twice() -> None:
    run_state_machine_as_test(TwoQueues)
