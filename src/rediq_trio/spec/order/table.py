"""Table: an immutable mapping of names to rows, with indexes, of which a changed copy costs O(log n).

An index is a function of the name and the row: it returns the key by which the row is listed, a tuple,
or None for a row that is not listed. So an index has nothing that does not follow from the rows, and
two tables are equal if their rows are. A key begins with what rows are looked up by (the prefix), and
ends with what makes it unique.

`MutableTable` is a table while one step works on it.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, Generic, TypeVar, cast

from rediq_trio.spec.order.sorted_map import SortedMap

V = TypeVar("V")

Key = tuple[Any, ...]
"""What a row is listed by. The parts at one place of all keys of an index are of one type."""
Index = Callable[[str, V], Key | None]


class _Last:
    """Comes after every part of a key."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


LAST = _Last()


class Table(Mapping[str, V], Generic[V]):
    """An immutable mapping of names to rows, in the order of the names, with indexes."""

    __slots__ = ("_listed", "_rows")

    def __init__(self, rows: Mapping[str, V] | None = None, *indexes: Index[V]) -> None:
        found = rows or {}
        self._rows = SortedMap(found.items())
        self._listed: dict[Index[V], SortedMap[Key, str]] = {
            index: SortedMap(
                (key, name) for name, row in found.items() if (key := index(name, row)) is not None
            )
            for index in indexes
        }

    def _copy(self, rows: SortedMap[str, V], name: str, old: V | None, new: V | None) -> Table[V]:
        """Return a table with other rows, of which only this one differs."""
        copy = cast("Table[V]", Table.__new__(Table))
        copy._rows, copy._listed = rows, {}
        for index, listed in self._listed.items():
            before = None if old is None else index(name, old)
            after = None if new is None else index(name, new)
            if before != after:
                listed = listed if before is None else listed.without(before)
                listed = listed if after is None else listed.set(after, name)
            copy._listed[index] = listed
        return copy

    def set(self, name: str, row: V) -> Table[V]:
        """Return a copy with this row."""
        old = self._rows.find(name)
        return self if old is row else self._copy(self._rows.set(name, row), name, old, row)

    def without(self, name: str) -> Table[V]:
        """Return a copy without a row; raise `KeyError` if it is not there."""
        return self._copy(self._rows.without(name), name, self._rows[name], None)

    def listed(self, index: Index[V], prefix: Key = (), *, after: Key | None = None) -> Iterator[V]:
        """Yield the rows whose keys begin with a prefix, in the order of the keys.

        With `after`, only those whose keys come after this one.
        """
        start = prefix if after is None else (*after, LAST)
        for key, name in self._listed[index].entries_from(start):
            if key[: len(prefix)] != prefix:
                break
            yield self._rows[name]

    def keys_of(self, index: Index[V]) -> Iterator[Key]:
        """Yield the keys of an index in their order."""
        return iter(self._listed[index])

    def count(self, index: Index[V], prefix: Key = ()) -> int:
        """Return how many keys of an index begin with a prefix."""
        listed = self._listed[index]
        return listed.rank((*prefix, LAST)) - listed.rank(prefix) if prefix else len(listed)

    def first(self, index: Index[V], prefix: Key = ()) -> V | None:
        """Return the first row whose key begins with a prefix; None for none."""
        return next(self.listed(index, prefix), None)

    def last(self, index: Index[V], prefix: Key = ()) -> V | None:
        """Return the last row whose key begins with a prefix; None for none."""
        listed = self._listed[index]
        end = listed.rank((*prefix, LAST))
        key, name = listed.at(end - 1) if end else ((), "")
        return self._rows[name] if key and key[: len(prefix)] == prefix else None

    def heads(self, index: Index[V], prefix: Key = ()) -> Iterator[V]:
        """Yield the first row of each different part that comes after a prefix."""
        start = prefix
        while entry := next(self._listed[index].entries_from(start), None):
            key, name = entry
            if key[: len(prefix)] != prefix:
                break
            yield self._rows[name]
            start = (*key[: len(prefix) + 1], LAST)

    def differences(self, other: Table[V]) -> Iterator[tuple[str, V | None, V | None]]:
        """Yield the name of each row that is not the same object in both, with both; None for none."""
        return self._rows.differences(other._rows)

    def indexes(self) -> Mapping[Index[V], Mapping[Key, str]]:
        """Return what is listed by each index: the names of rows by their keys."""
        return self._listed

    def __getitem__(self, name: str) -> V:
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def items(self) -> ItemsView[str, V]:
        return self._rows.items()

    def values(self) -> ValuesView[V]:
        return self._rows.values()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Table):
            return self._rows == cast("Table[V]", other)._rows
        return self._rows == other

    def __repr__(self) -> str:
        return repr(self._rows)


class MutableTable(MutableMapping[str, V], Generic[V]):
    """A table while one step works on it: each change makes `table` the next one."""

    __slots__ = ("table",)

    def __init__(self, table: Table[V]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> V:
        return self.table[name]

    def __setitem__(self, name: str, row: V) -> None:
        self.table = self.table.set(name, row)

    def __delitem__(self, name: str) -> None:
        self.table = self.table.without(name)

    def __contains__(self, name: object) -> bool:
        return name in self.table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def values(self) -> ValuesView[V]:
        return self.table.values()
