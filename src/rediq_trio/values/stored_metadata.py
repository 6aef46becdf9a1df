"""Metadata that were read from a stored task, and were checked when it was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class StoredMetadata(Mapping[str, str]):
    """The metadata of a stored task, for another `Task` made from it.

    It may have more entries than a user may pass, because middleware adds some when a task is sent.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __hash__(self) -> int:
        return hash(frozenset(self._texts.items()))

    def __repr__(self) -> str:
        return repr(self._texts)
