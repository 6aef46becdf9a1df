"""Split concatenated msgpack values without decoding them."""

from __future__ import annotations

from rediq_trio.spec.ids import pack_ref, unpack_ref
from rediq_trio.wire.packing import measure, pack_for_lua, unpack


def split_inputs(queue: str, packed: bytes) -> list[tuple[str, bytes]]:
    """Split the results that a task received: ids of the tasks that returned them, and packed results.

    Raises one of `UNPACK_ERRORS`.
    """
    found: list[tuple[str, bytes]] = []
    at = 0
    while at < len(packed):
        middle = at + measure(packed[at:])
        # References are in their stored form, which need not be text.
        stored = unpack(packed[at:middle], texts=False)
        if not isinstance(stored, bytes):
            raise ValueError("a reference is not text")  # noqa: TRY004  (of UNPACK_ERRORS: bad data)
        ref = unpack_ref(stored)
        at = middle + measure(packed[middle:])
        found.append((ref if "/" in ref else f"{queue}/{ref}", packed[middle:at]))
    return found


def join_inputs(queue: str, parts: list[tuple[str, bytes]]) -> bytes:
    """Join what `split_inputs` split."""
    prefix = f"{queue}/"
    return b"".join(
        pack_for_lua(pack_ref(name.removeprefix(prefix))) + value for name, value in parts
    )


def split_steps(packed: bytes) -> list[tuple[bytes, bytes]]:
    """Split steps: packed names and packed results. Raises one of `UNPACK_ERRORS`."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(packed):
        middle = at + measure(packed[at:])
        end = middle + measure(packed[middle:])
        found.append((packed[at:middle], packed[middle:end]))
        at = end
    return found
