"""Names and values that stand one after the other, as the scripts append them to a hash's field."""

from __future__ import annotations

from rediq_trio.wire.packing import UNPACK_ERRORS, measure, pack_for_lua, unpack


def pack_pair(name: bytes | str, value: bytes) -> bytes:
    """Pack a name, and put a value after it that is packed already."""
    return pack_for_lua(name) + value


def read_pairs(packed: bytes) -> list[tuple[bytes, bytes]]:
    """Read names and their values, which stay packed.

    From what cannot be decoded on, one pair of nothing stands for the rest: no value is empty.
    """
    found: list[tuple[bytes, bytes]] = []
    left = packed
    try:
        while left:
            middle = measure(left)
            # References are kept as they are stored, which need not be text.
            name = unpack(left[:middle], texts=False)
            end = middle + measure(left[middle:])
            if not isinstance(name, bytes):
                raise ValueError("a name is no text")  # noqa: TRY004  (of UNPACK_ERRORS: bad data)
            found.append((name, left[middle:end]))
            left = left[end:]
    except UNPACK_ERRORS:
        found.append((b"", b""))
    return found
