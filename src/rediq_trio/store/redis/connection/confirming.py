"""Confirming: what the reply of `WAIT` or `WAITAOF` means for the writes before it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.durability import CONFIRM_WITHIN_MS, Durability

if TYPE_CHECKING:
    from rediq_trio.store.redis.connection.calls import Call

LOG_EVERY = 10.0
"""Seconds between two lines in the log."""
_log = logging.getLogger("rediq_trio.durability")


class Confirming:
    """Judges the writes of a trip. One for each gateway."""

    def __init__(self, durability: Durability, command: tuple[Any, ...]) -> None:
        self.command = command
        self.unconfirmed = 0
        """Writes of the worker that were answered and not confirmed in time."""
        self._durability = durability
        self._logged = -LOG_EVERY

    def settle(self, written: list[tuple[Call, Any]], reply: Any) -> bool:
        """Answer or refuse the calls of a trip; say whether all was confirmed."""
        short = self._short(reply)
        for call, answer in written:
            if short and call.confirm is Confirm.RAISE:
                call.doubt(short, answer)
            else:
                call.answer(answer)
        if short:
            self._note(short, sum(call.confirm is Confirm.NOTE for call, _ in written))
        written.clear()
        return not short

    def _short(self, reply: Any) -> str:
        """Say what is missing; '' when nothing is."""
        if isinstance(reply, Unconfirmed):
            return str(reply)
        wanted = self._durability
        fsynced, replicas = reply if wanted.level == "fsynced" else (1, reply)
        missing = "" if fsynced >= 1 else "the server has not written it to disk"
        if replicas < wanted.replicas:
            missing += ", and " if missing else ""
            missing += f"{replicas} of {wanted.replicas} replicas have it"
        if not missing:
            return ""
        return (
            f"written, but not confirmed within {CONFIRM_WITHIN_MS / 1000:g} s: {missing}. It may "
            "last, or be lost if the server fails now; with an own id, enqueue it again without harm"
        )

    def _note(self, short: str, count: int) -> None:
        self.unconfirmed += count
        now = trio.current_time()
        if count and now - self._logged >= LOG_EVERY:
            self._logged = now
            _log.warning("%d writes of this worker so far: %s", self.unconfirmed, short)
