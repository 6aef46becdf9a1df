"""Packing what a handler hands over, within a bound, without holding up the event loop.

A small value is packed at once. A large one is packed in a thread, because other handlers
would wait for it, and what is above the bound for certain is not packed at all.
"""

from __future__ import annotations

from typing import Any

import attrs
import trio

from rediq_trio._errors import PayloadTooLarge
from rediq_trio.values.bounds import MAX_PAYLOAD
from rediq_trio.values.chance import threads
from rediq_trio.wire.envelope import pack_value
from rediq_trio.wire.sizes import is_small, least_size
from rediq_trio.wire.structuring import NO_CONVERTERS, Conversions, to_plain

SMALL = 16 * 1024
"""Bytes up to which a value is packed in the event loop: far less than a millisecond."""
PACKING_THREADS = 2
"""Large values that are packed at once."""


@attrs.frozen(eq=False)
class ResultPacker:
    """Packs results, of handlers and of their steps. Made once by the worker."""

    most: int = MAX_PAYLOAD
    """Maximum bytes of a packed result (`max_result`)."""
    _threads: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(PACKING_THREADS)
    )

    def is_small(self, value: Any) -> bool:
        """Return whether a value may be packed in the event loop."""
        return is_small(value, SMALL)

    def pack(self, value: Any, conversions: Conversions = NO_CONVERTERS) -> bytes:
        """Pack a small value; raise `PayloadError` or `PayloadTooLarge`."""
        return pack_value(to_plain(value, "result", conversions), what="result", most=self.most)

    async def pack_large(self, value: Any, conversions: Conversions = NO_CONVERTERS) -> bytes:
        """Pack a large value in a thread; raise as `pack` does. Cannot be cancelled."""
        packed = b""
        if not threads():
            await trio.lowlevel.cancel_shielded_checkpoint()
            return self._pack_bounded(value, conversions)
        with trio.CancelScope(shield=True):
            packed = await trio.to_thread.run_sync(
                self._pack_bounded, value, conversions, limiter=self._threads
            )
        return packed  # noqa: RET504 (to mypy, a scope may swallow what is raised in it)

    def _pack_bounded(self, value: Any, conversions: Conversions) -> bytes:
        check_size(value, self.most, what="result")
        return self.pack(value, conversions)


def check_size(value: Any, most: int, *, what: str) -> None:
    """Raise `PayloadTooLarge` for a value that is certainly too large, without packing it."""
    size = least_size(value, most)
    if size > most:
        raise PayloadTooLarge(
            f"{what}: at least {size:,} bytes packed; at most {most:,} are allowed"
        )
