"""Payloads compared with what live workers say that their handlers take.

A payload is refused only if every live worker of the queue that says what its handler takes would refuse it:
while a new version is rolled out, what one of them takes is good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import PayloadError, did_you_mean
from rediq_trio.client import Client
from rediq_trio.observe.words import shown
from rediq_trio.values.observed.signature import TaskSignature
from rediq_trio.values.task import WorkerInfo

UNCHECKED: tuple[str, dict[str, Any]] = (
    "--unchecked",
    {"action": "store_true",
     "help": "do not compare the payload with what the live workers say that the handler takes"},
)  # fmt: skip


@attrs.frozen
class KnownSignatures:
    """What live workers say that handlers take."""

    workers: Sequence[WorkerInfo]

    @classmethod
    async def read(cls, client: Client) -> KnownSignatures:
        """Read the records of the live workers."""
        return cls(await client.workers())

    def check(
        self, queue: str, kind: str, payload: Any, *, otherwise: str = "pass --unchecked"
    ) -> bool:
        """Return whether a payload was checked; raise `PayloadError` for one that no handler takes.

        It was not if no live worker of the queue says what the handler of the type takes. `otherwise`
        is what to do about a payload that is good, for the message.
        """
        known = [
            worker.signatures[kind]
            for worker in self.workers
            if queue in worker.queues and worker.signatures and kind in worker.signatures
        ]
        faults = [fault_of(signature, payload) for signature in dict.fromkeys(known)]
        if faults and all(faults):
            raise PayloadError(
                f"payload: {shown(kind, 80)} {faults[0]}, as live workers of {shown(queue)} say. "
                f"Correct it, or {otherwise}"
            )
        return bool(known)

    def not_checked(self, queue: str, kind: str) -> str:
        """Return in words that a payload was not checked, and why."""
        return f"the payload was not checked: no live worker of {shown(queue)} said what {shown(kind, 80)} takes"


def fault_of(signature: TaskSignature, payload: Any) -> str:
    """Return what a handler would refuse of a payload: "takes no 'x'"; "" if it takes it."""
    if not isinstance(payload, Mapping):
        if len(signature.required) > 1:
            return f"takes {_named(signature)}, by name: the payload must be an object"
        if not signature.required and not signature.optional:
            return "takes nothing by position: the payload must be an object"
        return ""
    names = cast("Mapping[Any, Any]", payload).keys()
    known = (*signature.required, *signature.optional)
    unknown = [] if signature.open else [str(name) for name in names if name not in known]
    missing = [name for name in signature.required if name not in names]
    if unknown:
        hint = did_you_mean(unknown[0], missing or known) or f"; it takes {_named(signature)}"
        return f"takes no {shown(repr(unknown[0]), 80)}{hint}"
    if missing:
        return (
            f"needs {shown(repr(missing[0]), 80)}, which is missing; it takes {_named(signature)}"
        )
    return ""


def _named(signature: TaskSignature) -> str:
    names = (*signature.required, *(f"{name}=" for name in signature.optional))
    others = ("others",) if signature.open else ()
    return ", ".join([shown(name, 40) for name in names[:10]] + [*others]) or "nothing"
