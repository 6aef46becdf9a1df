"""Leaves the log of the library off while faults are tried: each of them would be warned of, many times."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without_log() -> Generator[None]:
    """Leave the library's log off for the block."""
    log = logging.getLogger("rediq_trio")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
