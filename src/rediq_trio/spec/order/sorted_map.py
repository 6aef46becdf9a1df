"""SortedMap: an immutable mapping in the order of its keys, of which a changed copy costs O(log n).

It is a B+ tree whose nodes are never changed. A copy shares all nodes with its original but those on
the way to the changed key, so `differences` of the two looks only at the nodes that they do not share.
A node has at most `PARTS_MOST` parts, and at least `PARTS_LEAST` unless it is the root.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from itertools import chain
from typing import Any, Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

PARTS_MOST = 32
PARTS_LEAST = 8


class _Leaf:
    """Keys in their order, each with its value."""

    __slots__ = ("parts", "size", "starts")

    def __init__(self, starts: tuple[Any, ...], parts: tuple[Any, ...]) -> None:
        self.starts, self.parts, self.size = starts, parts, len(starts)


class _Branch:
    """Nodes in their order, each with its first key."""

    __slots__ = ("parts", "size", "starts")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts
        self.starts = tuple([part.starts[0] for part in parts])
        self.size = sum([part.size for part in parts])


def _split(node: Any) -> tuple[Any, ...]:
    """Return a node in two halves if it has too many parts."""
    if len(node.parts) <= PARTS_MOST:
        return (node,)
    half = len(node.parts) // 2
    if isinstance(node, _Leaf):
        starts, parts = node.starts, node.parts
        return _Leaf(starts[:half], parts[:half]), _Leaf(starts[half:], parts[half:])
    return _Branch(node.parts[:half]), _Branch(node.parts[half:])


def _join(left: Any, right: Any) -> tuple[Any, ...]:
    """Return the parts of two neighbours in one node, or evenly in two."""
    if isinstance(left, _Leaf):
        return _split(_Leaf(left.starts + right.starts, left.parts + right.parts))
    return _split(_Branch(left.parts + right.parts))


def _set(node: Any, key: Any, value: Any) -> tuple[Any, ...]:
    starts, parts = node.starts, node.parts
    if isinstance(node, _Leaf):
        at = bisect_left(starts, key)
        if at < len(starts) and starts[at] == key:
            return (_Leaf(starts, (*parts[:at], value, *parts[at + 1 :])),)
        return _split(_Leaf((*starts[:at], key, *starts[at:]), (*parts[:at], value, *parts[at:])))
    at = max(0, bisect_right(starts, key) - 1)
    return _split(_Branch((*parts[:at], *_set(parts[at], key, value), *parts[at + 1 :])))


def _without(node: Any, key: Any) -> Any:
    """Return a node without a key that it has; the node may have too few parts, or none."""
    starts, parts = node.starts, node.parts
    if isinstance(node, _Leaf):
        at = bisect_left(starts, key)
        return _Leaf(starts[:at] + starts[at + 1 :], parts[:at] + parts[at + 1 :])
    at = bisect_right(starts, key) - 1
    smaller = _without(parts[at], key)
    if len(smaller.parts) >= PARTS_LEAST:
        return _Branch((*parts[:at], smaller, *parts[at + 1 :]))
    left = max(0, at - 1)
    both = (parts[left], smaller) if at else (smaller, parts[1])
    return _Branch((*parts[:left], *_join(*both), *parts[left + 2 :]))


def _entries_from(node: Any, start: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the entries from a key on."""
    if isinstance(node, _Leaf):
        at = bisect_left(node.starts, start)
        yield from zip(node.starts[at:], node.parts[at:], strict=True)
        return
    at = max(0, bisect_right(node.starts, start) - 1)
    yield from _entries_from(node.parts[at], start)
    for part in node.parts[at + 1 :]:
        yield from _entries(part)


def _entries(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, _Leaf):
        yield from zip(node.starts, node.parts, strict=True)
    else:
        for part in node.parts:
            yield from _entries(part)


def _unshared(one: Sequence[Any], two: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the leaves below each of two rows of nodes that are not below both."""
    shared = {id(node) for node in one} & {id(node) for node in two}
    one, two = ([node for node in row if id(node) not in shared] for row in (one, two))
    deep_one, deep_two = _depth(one), _depth(two)
    if not deep_one and not deep_two:
        return one, two
    return _unshared(
        _below(one) if deep_one >= deep_two else one, _below(two) if deep_two >= deep_one else two
    )


def _below(row: Sequence[Any]) -> Sequence[Any]:
    return [part for node in row for part in node.parts] if _depth(row) else row


def _depth(row: Sequence[Any]) -> int:
    """Return how many levels are below a row of nodes."""
    depth = 0
    while row and isinstance(row[0], _Branch):
        row, depth = row[0].parts, depth + 1
    return depth


def _cut(parts: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Cut parts evenly into rows that are half full at most."""
    rows = -(-len(parts) // (PARTS_MOST // 2))
    for row in range(rows):
        yield tuple(parts[len(parts) * row // rows : len(parts) * (row + 1) // rows])


class _EntriesView(ItemsView[K, V]):
    _mapping: SortedMap[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping.entries()


class _ValuesInOrder(ValuesView[V]):
    _mapping: SortedMap[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.entries())


class SortedMap(Mapping[K, V], Generic[K, V]):
    """An immutable mapping in the order of its keys, none of whose values is None."""

    __slots__ = ("_root",)

    def __init__(self, entries: Iterable[tuple[K, V]] = ()) -> None:
        """Take entries in any order; of a key that comes twice, the last one counts."""
        found = dict(entries)
        keys: list[Any] = sorted(found)
        nodes: list[Any] = [
            _Leaf(starts, tuple([found[key] for key in starts])) for starts in _cut(keys)
        ]
        while len(nodes) > 1:
            nodes = list(map(_Branch, _cut(nodes)))
        self._root: Any = nodes[0] if nodes else _Leaf((), ())

    @classmethod
    def _of(cls, root: Any) -> SortedMap[K, V]:
        new = cls.__new__(cls)
        new._root = root
        return new

    def set(self, key: K, value: V) -> SortedMap[K, V]:
        """Return a copy with this value of a key."""
        nodes = _set(self._root, key, value)
        return self._of(nodes[0] if len(nodes) == 1 else _Branch(nodes))

    def without(self, key: K) -> SortedMap[K, V]:
        """Return a copy without a key; raise `KeyError` if it is not there."""
        if key not in self:
            raise KeyError(key)
        root = _without(self._root, key)
        if isinstance(root, _Branch) and len(root.parts) == 1:
            root = root.parts[0]
        return self._of(root)

    def find(self, key: Any) -> V | None:
        """Return the value of a key; None if it is not there."""
        node = self._root
        while isinstance(node, _Branch):
            node = node.parts[max(0, bisect_right(node.starts, key) - 1)]
        at = bisect_left(node.starts, key)
        found = at < len(node.starts) and node.starts[at] == key
        return node.parts[at] if found else None

    def __getitem__(self, key: K) -> V:
        value = self.find(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        return self.find(key) is not None

    def __len__(self) -> int:
        size: int = self._root.size
        return size

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.entries())

    def items(self) -> ItemsView[K, V]:
        return _EntriesView(self)

    def values(self) -> ValuesView[V]:
        return _ValuesInOrder(self)

    def entries(self) -> Iterator[tuple[K, V]]:
        """Yield all entries in order."""
        return _entries(self._root)

    def entries_from(self, start: Any) -> Iterator[tuple[K, V]]:
        """Yield the entries from a key on, which need not be there."""
        return _entries_from(self._root, start)

    def rank(self, key: Any) -> int:
        """Return how many keys come before this one, which need not be there."""
        node, before = self._root, 0
        while isinstance(node, _Branch):
            at = max(0, bisect_right(node.starts, key) - 1)
            before += sum([part.size for part in node.parts[:at]])
            node = node.parts[at]
        return before + bisect_left(node.starts, key)

    def at(self, rank: int) -> tuple[K, V]:
        """Return the entry that has so many before it."""
        node = self._root
        while isinstance(node, _Branch):
            part = 0
            while rank >= node.parts[part].size:
                rank -= node.parts[part].size
                part += 1
            node = node.parts[part]
        return node.starts[rank], node.parts[rank]

    def differences(self, other: SortedMap[K, V]) -> Iterator[tuple[K, V | None, V | None]]:
        """Yield each key whose values are not one object, in order, with both; None for none."""
        if self._root is other._root:
            return
        one, two = _unshared([self._root], [other._root])
        left, right = (dict(chain.from_iterable(map(_entries, nodes))) for nodes in (one, two))
        changed = [key for key in {*left, *right} if left.get(key) is not right.get(key)]
        for key in sorted(changed):
            yield key, left.get(key), right.get(key)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SortedMap):
            two = cast("SortedMap[K, V]", other)
            same_size = len(self) == len(two)
            return same_size and all(old == new for _, old, new in self.differences(two))
        return dict(self.entries()) == other if isinstance(other, Mapping) else NotImplemented

    def __repr__(self) -> str:
        return repr(dict(self.entries()))
