"""The conformance suite, held against a store of your own: `pytest test_my_store.py`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from rediq_trio import MemoryStore
from rediq_trio.testing.conformance import ConformanceCase, cases


class MyStore(MemoryStore):
    """Stands for a store of yours, a class that implements `rediq_trio.store.port.Store`."""


@asynccontextmanager
async def open_my_store(clock: Callable[[], int]) -> AsyncIterator[MyStore]:
    yield MyStore(clock)  # empty, and its time is that of the clock


@pytest.mark.parametrize("case", cases(), ids=str)
def test_my_store(case: ConformanceCase) -> None:
    case.run(open_my_store)
