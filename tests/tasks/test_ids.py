"""Ids that the library makes: their layout, and their order."""

from __future__ import annotations

import re
import time
import uuid

import pytest

from rediq_trio.spec.ids import pack_id
from rediq_trio.tasks.ids import new_id

MS = 1_700_000_000_000


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(new_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize(("ns", "fraction"), [(0, "7000"), (500_000, "7800"), (999_999, "7fff")])
def test_an_id_begins_with_its_instant_to_a_4096th_of_a_millisecond(
    ns: int, fraction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: MS * 1_000_000 + ns)
    found = new_id()
    assert found[:18] == f"{MS:012x}"[:8] + "-" + f"{MS:012x}"[8:] + "-" + fraction
    assert re.fullmatch("[89ab][0-9a-f]{3}-[0-9a-f]{12}", found[19:])


def test_ids_of_one_instant_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: MS * 1_000_000)
    assert len({new_id() for _ in range(1000)}) == 1000


def test_ids_sort_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(MS * 1_000_000, (MS + 5) * 1_000_000, 1000))
    monkeypatch.setattr(time, "time_ns", lambda: next(ticks))
    made = [new_id() for _ in range(5000)]
    assert sorted(made) == made
    assert sorted(made, key=pack_id) == made
