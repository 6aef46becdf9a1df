"""What the documentation takes from the code is as the code is now."""

from __future__ import annotations

from docs import generate, lua_reference
from rediq_trio.store.keys import QUEUE_KEYS


def test_generated_pages_are_up_to_date() -> None:
    names = generate.stale()
    assert not names, f"{', '.join(names)} out of date: run python -m docs.generate"


def test_every_key_of_a_queue_is_described() -> None:
    missing = set(QUEUE_KEYS) - lua_reference.MEANINGS.keys()
    assert not missing, f"say in docs/lua_reference.py what {', '.join(sorted(missing))} holds"
