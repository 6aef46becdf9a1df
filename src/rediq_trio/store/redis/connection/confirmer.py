"""The write confirmer: what the reply of `WAIT` or `WAITAOF` means for the writes before it."""

from __future__ import annotations

import logging
from typing import Any

import trio

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.calls import PendingCall
from rediq_trio.store.redis.durability import CONFIRM_WITHIN_MS, Durability

UNCONFIRMED_LOG_INTERVAL = 10.0
"""Seconds between two log lines about unconfirmed writes."""
_log = logging.getLogger("rediq_trio.durability")


class WriteConfirmer:
    """Judges whether the writes of a round trip are confirmed. One for each gateway."""

    def __init__(self, durability: Durability, command: tuple[Any, ...]) -> None:
        self.command = command
        self.unconfirmed = 0
        """Writes of the worker that were answered, but not confirmed in time."""
        self._durability = durability
        self._logged = -UNCONFIRMED_LOG_INTERVAL

    def resolve(self, written: list[tuple[PendingCall, Any]], reply: Any) -> bool:
        """Answer or refuse the calls of a round trip; return whether all were confirmed."""
        missing = self._missing(reply)
        for call, answer in written:
            if missing and call.confirm is Confirm.RAISE:
                call.refuse_unconfirmed(missing, answer)
            else:
                call.answer(answer)
        if missing:
            self._count(missing, sum(call.confirm is Confirm.NOTE for call, _ in written))
        written.clear()
        return not missing

    def _missing(self, reply: Any) -> str:
        """Return what is missing, as a text; '' if nothing is."""
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

    def _count(self, missing: str, count: int) -> None:
        self.unconfirmed += count
        now = trio.current_time()
        if count and now - self._logged >= UNCONFIRMED_LOG_INTERVAL:
            self._logged = now
            _log.warning("%d writes of this worker so far: %s", self.unconfirmed, missing)
