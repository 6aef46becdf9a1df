from __future__ import annotations

import datetime as dt
import enum
import json
import math
from types import MappingProxyType

import attrs
import pytest

from rediq_trio.observe.as_json import SCHEMA, plain, to_json
from rediq_trio.spec.lifecycle import State


class Number(enum.IntEnum):
    ONE = 1


class Kind(enum.Enum):
    PAIR = (1, 2)


@attrs.frozen
class Inner:
    at: dt.datetime


AT = dt.datetime(2026, 11, 29, 7, 50, 21, 5000, dt.timezone(dt.timedelta(hours=5)))


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (None, None), (True, True), (3, 3), ("a", "a"), (1.5, 1.5), (math.inf, "inf"),
        (-math.inf, "-inf"), (math.nan, "nan"), (State.DEAD, "dead"), (Number.ONE, 1),
        (Kind.PAIR, [1, 2]), (AT, "2026-11-29T02:50:21.005000Z"), (dt.timedelta(minutes=1), 60.0),
        (b"\xff", {"base64": "/w=="}), (bytearray(b"a"), {"base64": "YQ=="}), ((1, (2,)), [1, [2]]),
        (frozenset({1}), [1]), (MappingProxyType({"a": b""}), {"a": {"base64": ""}}),
        ({1: "a", "b": 2}, [[1, "a"], ["b", 2]]), ({b"k": {}}, [[{"base64": "aw=="}, {}]]),
        (Inner(AT), {"at": "2026-11-29T02:50:21.005000Z"}), (1j, "1j"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_as_json_has_it(value: object, json_value: object) -> None:
    assert plain(value) == json_value
    assert type(plain(value)) is type(json_value)
    text = to_json({"value": value})
    assert json.loads(text) == {"rediq": SCHEMA, "value": json_value}
    assert text.count("\n") == 0


def test_text_that_a_terminal_would_obey_is_escaped() -> None:
    hostile = "a\x1b[31m\n\u202e\x9b\ud800"
    text = to_json({"value": hostile})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["value"] == hostile
