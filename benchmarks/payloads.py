"""Payloads that nobody would send, for a fuzzer: made from a seed, so that each can be had again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from rediq_trio.values.backoff import DEFAULT_BACKOFF, Fixed
from rediq_trio.wire.envelope import pack_envelope

TYPES = ("any", "typed", "one", "sound", "nobody's")
"""Names of handlers; the last one has none."""
MOST = 64 * 1024
"""Bytes that a declared length is followed by, at most."""


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


class Maker:
    """Makes envelopes, one worse than the other."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._ways: tuple[Callable[[], bytes], ...] = (
            self._noise, self._mutated, self._mutated, self._mutated, self._wrong_field,
            self._wrong_field, self._strange, self._strange, self._bomb, self._deep,
            self._batch, self._odd_types, self._many_keys, self._beside,
        )  # fmt: skip

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self._draw.choice(self._ways)()

    # --- parts

    def _bytes(self, most: int) -> bytes:
        return self._draw.randbytes(self._draw.randint(0, most))

    def _int(self) -> int:
        edge = self._draw.choice((0, 7, 8, 16, 31, 32, 53, 63))
        return self._draw.choice((1, -1)) * min(2**edge + self._draw.randint(-2, 2), 2**63 - 1)

    def _leaf(self) -> bytes:
        """Give a packed value without parts, sound or not."""
        draw = self._draw
        size = draw.randint(0, 40)
        choices: tuple[Callable[[], bytes], ...] = (
            lambda: _pack(self._int()),
            lambda: _pack(draw.choice((None, True, False, "", b"", "text", 0.5, 1e308))),
            lambda: b"\xcb" + struct.pack(">d", draw.choice((float("nan"), float("inf"), -0.0))),
            lambda: (
                bytes([0xA0 | min(size, 31)]) + draw.randbytes(min(size, 31))
            ),  # perhaps no UTF-8
            lambda: _pack(draw.randbytes(size)),
            lambda: _pack(msgpack.ExtType(draw.randint(0, 127), draw.randbytes(size))),
            lambda: b"\xd6\xff" + draw.randbytes(4),  # timestamps
            lambda: b"\xd7\xff" + draw.randbytes(8),
            lambda: b"\xc7\x0c\xff" + draw.randbytes(12),
            lambda: b"\xcf" + b"\xff" * 8,  # the largest number
            lambda: b"\xc1",  # never used
            lambda: draw.randbytes(size),
        )
        return draw.choice(choices)()

    def _value(self, depth: int = 4) -> bytes:
        """Give a packed value of some parts; keys may be doubled, or no texts."""
        draw = self._draw
        if depth == 0 or draw.random() < 0.4:
            return self._leaf()
        count = draw.randint(0, 5)
        if draw.random() < 0.5:
            return bytes([0x90 | count]) + b"".join(self._value(depth - 1) for _ in range(count))
        doubled = _pack("same")
        keys = (doubled, _pack("value"), _pack(draw.randint(0, 5)), _pack(b"k"), self._leaf())
        pairs = (draw.choice(keys) + self._value(depth - 1) for _ in range(count))
        return bytes([0x80 | count]) + b"".join(pairs)

    def _around(self, payload: bytes) -> bytes:
        return pack_envelope(self._draw.choice(TYPES), payload, 30.0, DEFAULT_BACKOFF, {})

    def _sound(self) -> bytes:
        payload = _pack({"value": [1, {"a": "b"}, None, 2.5, "x" * self._draw.randint(0, 50)]})
        return pack_envelope("any", payload, 5.0, Fixed(1), {"trace": "abc"}, -60_000, ("q/one",))

    # --- whole envelopes

    def _noise(self) -> bytes:
        return self._bytes(200)

    def _mutate(self, whole: bytes) -> bytes:
        draw, found = self._draw, bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(found) + 1)
            match draw.randint(0, 4):
                case 0 if at < len(found):
                    found[at] ^= 1 << draw.randint(0, 7)
                case 1 if at < len(found):
                    found[at] = draw.randrange(256)
                case 2:
                    del found[at : at + draw.randint(1, 8)]
                case 3:
                    found[at:at] = draw.randbytes(draw.randint(1, 8))
                case _:
                    found[at:at] = found[: draw.randint(0, 40)]
        return bytes(found)

    def _mutated(self) -> bytes:
        return self._mutate(self._sound())

    def _wrong_field(self) -> bytes:
        """Put some value in the place of one field, behind which the others are sound."""
        fields = [
            b"\x01", _pack("any"), _pack(_pack({"value": 1})), _pack(5.0), _pack([2, 1.0]),
            _pack({"a": "b"}), _pack(-60_000), _pack(["q/one"]),
        ]  # fmt: skip
        deep = b"\x91" * self._draw.randint(60, 1100) + b"\xc0"
        wrong = (self._value(), deep, _pack([self._draw.randint(-1, 4), float("nan"), 1e300, -1]))
        fields[self._draw.randrange(len(fields))] = self._draw.choice(wrong)
        count = self._draw.choice((3, 4, 6, 8, 8, 8))
        return bytes([0x90 | count]) + b"".join(fields[:count])

    def _strange(self) -> bytes:
        return self._around(b"\x81" + _pack("value") + self._value(5))

    def _odd_types(self) -> bytes:
        """For a handler whose arguments are structured."""
        names = ("when", "ids", "amount", "point")
        parts = [_pack(name) + self._value(2) for name in names if self._draw.random() < 0.95]
        texts = (
            _pack("9" * 400),
            _pack("1e999999"),
            _pack("0001-01-01T00:00:00+23:59"),
            self._leaf(),
        )
        if parts and self._draw.random() < 0.5:
            parts[-1] = _pack(self._draw.choice(names)) + self._draw.choice(texts)
        payload = bytes([0x80 | len(parts)]) + b"".join(parts)
        return pack_envelope("typed", payload, 30.0, DEFAULT_BACKOFF, {})

    def _bomb(self) -> bytes:
        """Declare far more than there is, once or at every level."""
        draw = self._draw
        declared = draw.choice((2**32 - 1, 2**31, 2**24, MOST))
        head = draw.choice((b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")) + declared.to_bytes(
            4, "big"
        )
        body = head * draw.choice((1, 1, 1, 3, 60, 1000)) + b"\x90" * draw.choice(
            (0, 10, MOST // 4)
        )
        return draw.choice((lambda: self._around(body), lambda: b"\x93\x01" + body, lambda: body))()

    def _deep(self) -> bytes:
        levels = self._draw.choice((63, 64, 65, 66, 500, 1023, 1024, 1025, 5000, 50_000))
        step = self._draw.choice((b"\x91", b"\x81\xa1a", b"\x92\x90"))
        return self._around(b"\x81" + _pack("value") + step * levels + b"\xc0")

    def _many_keys(self) -> bytes:
        count = self._draw.choice((10, 1000, 5000))
        # Whole numbers could be made to collide; texts of one hash cannot be chosen.
        steps = self._draw.choice((1, 2**61 - 1))
        numbers = self._draw.random() < 0.5
        keys = ((n * steps % 2**63 if numbers else f"k{n}") for n in range(count))
        packed = b"".join(_pack(key) + b"\x01" for key in keys)
        whole = b"\xdf" + count.to_bytes(4, "big") + packed
        inner = b"\x81" + _pack("value") + whole
        return self._around(self._draw.choice((whole, inner)))

    def _batch(self) -> bytes:
        """Give the batch of a group, harmed."""
        draw = self._draw
        members = [
            [b"m%d" % n, draw.choice((self._sound, self._mutated, self._strange))(), 50, 0, 3, 1000]
            for n in range(draw.randint(0, 3))
        ]
        if members and draw.random() < 0.5:
            members[-1][draw.randrange(6)] = draw.choice((None, b"\xff", -1, 2**63, [], [[]], "x"))
        group = draw.choice((b"g", b"other", b"\xff", 5))
        packed: bytes = msgpack.packb([2, group, members], use_bin_type=False)
        return self._mutate(packed) if draw.random() < 0.3 else packed

    def _beside(self) -> bytes:
        """Hold more than one value, or one that is cut."""
        sound = self._sound()
        return self._draw.choice((sound + sound, sound[: self._draw.randrange(len(sound))], b""))
