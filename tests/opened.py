"""Opened: a fixture value that is opened inside the test's own `trio.run`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs


@attrs.frozen
class Opened:
    """The test gets what `open()` gives, and it is closed behind the test."""

    open: Callable[[], AbstractAsyncContextManager[Any]]
    run: Callable[[Callable[[], Awaitable[None]]], None] | None = None
    """Runs the test in a world of the fixture's own; None for `trio.run`."""
