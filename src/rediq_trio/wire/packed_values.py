"""Values that stand one behind the other, taken apart without being read."""

from __future__ import annotations

from rediq_trio.spec.ids import pack_ref, unpack_ref
from rediq_trio.wire.packing import measure, pack_for_lua, unpack


def part_inputs(queue: str, packed: bytes) -> list[tuple[str, bytes]]:
    """Give the results that came to a task of a queue, packed, with the ids of who gave them.

    Raises one of `UNREADABLE`.
    """
    found: list[tuple[str, bytes]] = []
    at = 0
    while at < len(packed):
        middle = at + measure(packed[at:])
        # References are kept as they are stored, which need not be text.
        stored = unpack(packed[at:middle], texts=False)
        if not isinstance(stored, bytes):
            raise ValueError("a reference is no text")  # noqa: TRY004  (of UNREADABLE: bad data)
        ref = unpack_ref(stored)
        at = middle + measure(packed[middle:])
        found.append((ref if "/" in ref else f"{queue}/{ref}", packed[middle:at]))
    return found


def join_inputs(queue: str, parts: list[tuple[str, bytes]]) -> bytes:
    """Put together what `part_inputs` took apart."""
    own = f"{queue}/"
    return b"".join(pack_for_lua(pack_ref(name.removeprefix(own))) + value for name, value in parts)


def part_steps(packed: bytes) -> list[tuple[bytes, bytes]]:
    """Give steps, names and results as they are packed. Raises one of `UNREADABLE`."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(packed):
        middle = at + measure(packed[at:])
        end = middle + measure(packed[middle:])
        found.append((packed[at:middle], packed[middle:end]))
        at = end
    return found
