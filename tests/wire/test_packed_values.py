"""Names and values that stand one after the other, and what is left of damaged ones."""

from __future__ import annotations

import msgpack
import pytest

from rediq_trio.wire.packed_values import pack_pair, read_pairs

PAIRS = [(b"s" * 128, b"\x93\x01\x02\x03"), (b"\xff\x00", b"\x01"), (b"", b"\xc0")]


def test_pairs_are_read_as_they_were_packed() -> None:
    assert read_pairs(b"".join(pack_pair(*pair) for pair in PAIRS)) == PAIRS
    assert read_pairs(b"") == []


@pytest.mark.parametrize("length", [1, 31, 32, 255, 256, 65_536])
def test_names_of_any_length_are_packed_as_lua_packs_them(length: int) -> None:
    name = "s" * length
    packed = pack_pair(name, b"\x01")
    assert packed == msgpack.packb(name, use_bin_type=False) + b"\x01"
    assert read_pairs(packed) == [(name.encode(), b"\x01")]


@pytest.mark.parametrize(
    "rest",
    [b"\xa1", b"\xa1b", b"\xa1b\xa5cut", b"\xc1", b"\x01\x02", b"\xc0\x01"],
    ids=["a name cut short", "no value", "a value cut short", "no msgpack", "a number", "nil"],
)
def test_what_cannot_be_decoded_is_one_empty_pair(rest: bytes) -> None:
    assert read_pairs(pack_pair("a", b"\x01") + rest) == [(b"a", b"\x01"), (b"", b"")]
