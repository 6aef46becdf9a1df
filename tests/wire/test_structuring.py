from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from typing import Any, Literal

import attrs
import pytest

from rediq_trio import PayloadError
from rediq_trio.wire.envelope import pack_value, unpack_value
from rediq_trio.wire.structuring import make_structurer, needs_structure, to_plain


class Size(enum.Enum):
    SMALL = 1


@attrs.frozen
class Part:
    size: Size
    made: dt.date


@dataclasses.dataclass
class Whole:
    parts: list[Part]
    ids: set[uuid.UUID]
    price: decimal.Decimal
    took: dt.timedelta
    at: dt.time
    where: pathlib.PurePosixPath | None = None


WHOLE = Whole(
    [Part(Size.SMALL, dt.date(2026, 1, 2))],
    {uuid.UUID(int=5)},
    decimal.Decimal("1.50"),
    dt.timedelta(seconds=1.5),
    dt.time(1, 2, 3),
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (WHOLE, Whole),
        ({"a": WHOLE}, dict[str, Whole]),
        ([dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)], list[dt.datetime]),
        ((1, "a"), tuple[int, str]),
        (None, Part | None),
    ],
)
def test_what_is_taken_apart_is_put_together_again(value: Any, kind: Any) -> None:
    structure = make_structurer(kind)
    assert structure is not None
    assert structure(unpack_value(pack_value(to_plain(value)))) == value


@pytest.mark.parametrize("kind", [int, str, dict[str, int], list, Any, None, Literal["a"], object])
def test_plain_data_passes_as_it_is(kind: Any) -> None:
    assert not needs_structure(kind)
    assert make_structurer(kind) is None


@pytest.mark.parametrize(
    ("value", "kind"), [("x", dt.datetime), ({}, Part), ({"size": 9, "made": "2026-01-02"}, Part)]
)
def test_what_does_not_fit_is_a_payload_error(value: Any, kind: Any) -> None:
    structure = make_structurer(kind)
    assert structure is not None
    with pytest.raises(PayloadError, match="is no"):
        structure(value)
