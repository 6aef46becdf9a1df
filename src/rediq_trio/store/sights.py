"""Reading a queue's structures from Redis for a check, and putting them right.

Each picture is read by one script call; what the bytes mean is decided here, and what is
wrong in `spec.structures`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import NO_LIMIT, Ending, Fence, Limit, Mail, Record, Rule
from rediq_trio.spec.repairs import Action, Repair
from rediq_trio.spec.stored import pack_id, unpack_id
from rediq_trio.spec.subjects import (
    CONTENTS,
    GroupPicture,
    KeyPicture,
    Kind,
    LanePicture,
    LetterPicture,
    Picture,
    SchedulePicture,
    SeatPicture,
    Shape,
    Sight,
    Subject,
    TiePicture,
)
from rediq_trio.store.codec import (
    decode_picture,
    read_ending,
    read_limit,
    read_mail,
    read_record,
    read_rule,
    read_schedule,
)
from rediq_trio.store.gateway import Gateway
from rediq_trio.store.keys import HASHES, QUEUE_KEYS, Keys
from rediq_trio.store.packing import UNREADABLE
from rediq_trio.store.sweep import STRUCTURES, split_seat

AT_ONCE = 100
"""Pictures of one call: it keeps Redis busy for a millisecond or two."""
BITS = 64
"""More than there are structures."""
STRING_HASHES = (*HASHES, "meta", "permits", "turns", "limits", "unique", "received", "rules",
                 "schedules")  # fmt: skip
"""The keys that are hashes; the others are sorted sets."""

Run = Callable[..., Awaitable[Any]]


def _score(text: bytes) -> int | None:
    return round(float(text)) if text else None


def _number(text: bytes) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return -1


def _record(task_id: str, raw: bytes) -> Record | None:
    return read_record(task_id, raw) if raw else None


class Sights:
    """The eyes of a store. Made by `RedisStore`."""

    def __init__(
        self, gateway: Gateway, keys: Keys, run: Run, now: Callable[[], int | str]
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._run = run
        self._now = now
        self._ways: dict[Kind, Callable[[str, Sequence[Subject]], Awaitable[list[Any]]]] = {
            Kind.SEAT: self._seats,
            Kind.TIE: self._ties,
            Kind.LANE: self._lanes,
            Kind.UNIQUE: self._unique,
            Kind.GROUP: self._groups,
            Kind.SCHEDULE: self._schedules,
            Kind.MESSAGE: self._letters,
            Kind.ENDING: self._letters,
            Kind.SENDER: self._letters,
        }

    async def subjects(self, queue: str, cursor: int) -> tuple[int, tuple[Subject, ...]]:
        position, number = divmod(cursor, BITS)
        structure = STRUCTURES[number]
        scan = b"HSCAN" if structure.is_hash else b"ZSCAN"
        key = self._keys.of(queue, (structure.name,))[0]
        position, items = await self._gateway.call(scan, key, position, b"COUNT", structure.at_once)
        following = int(position) * BITS + number
        if not int(position):
            following = (number + 1) % len(STRUCTURES)
        found: dict[Subject, None] = {}
        for i in range(0, len(items), 2):
            found.update(dict.fromkeys(structure.read(items[i], items[i + 1])))
        if structure.orphans and found:
            raws = await self._records(queue, [subject.raw[0] for subject in found])
            found = {s: None for s, raw in zip(found, raws, strict=True) if raw is None}
        return following, tuple(found)

    async def _records(self, queue: str, ids: list[bytes]) -> list[bytes | None]:
        key = self._keys.of(queue, ("records",))[0]
        found: list[bytes | None] = []
        for i in range(0, len(ids), AT_ONCE):
            found += await self._gateway.call(b"HMGET", key, *ids[i : i + AT_ONCE])
        return found

    async def examine(self, queue: str, subjects: Sequence[Subject]) -> tuple[Sight, ...]:
        found: list[Sight] = []
        for i in range(0, len(subjects), AT_ONCE):
            part = subjects[i : i + AT_ONCE]
            if part[0].kind is Kind.TASK:
                found += await self.pictures(queue, [s.raw[0] for s in part])
            else:
                found += await self._ways[part[0].kind](queue, part)
        return tuple(found)

    async def pictures(self, queue: str, ids: Sequence[bytes]) -> tuple[Picture, ...]:
        found: list[Picture] = []
        for i in range(0, len(ids), AT_ONCE):
            part = ids[i : i + AT_ONCE]
            for own, reply in zip(part, await self._run("examine", queue, [*part]), strict=True):
                found.append(_picture(unpack_id(own), reply))
        return tuple(found)

    async def _seats(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        args: list[bytes] = []
        for index, member in (subject.raw for subject in subjects):
            args += (index, member, split_seat(member)[2])
        found: list[Sight] = []
        replies = await self._run("inspect_seats", queue, args)
        for subject, (score, raw, envelope, settled) in zip(subjects, replies, strict=True):
            state, place, name = subject.other.split(" ", 2)
            found.append(
                SeatPicture(subject, State(state), name, int(place), _score(score),
                            _record(subject.name, raw), bool(raw), bool(envelope), bool(settled))
            )  # fmt: skip
        return found

    async def _ties(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        args: list[bytes] = []
        for subject in subjects:
            args += _tie_args(subject)
        found: list[Sight] = []
        replies = await self._run("inspect_ties", queue, args)
        for subject, reply in zip(subjects, replies, strict=True):
            edge, need, one, two, needs, ending = reply
            abroad = b"/" in args[0] or "/" in subject.name or "/" in subject.other
            found.append(
                TiePicture(
                    subject,
                    edge=edge != b"",
                    need=need != b"",
                    source=_record(subject.name, one),
                    dependent=_record(subject.other, two),
                    has_source=bool(one),
                    needs=needs,
                    ending=None if ending == b"" else bool(ending),
                    abroad=abroad,
                )
            )
        return found

    async def _lanes(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        args = [self._now(), *(subject.raw[0] for subject in subjects)]
        now, fair, turn_now, *replies = await self._run("inspect_lanes", queue, args)
        found: list[Sight] = []
        for subject, reply in zip(subjects, replies, strict=True):
            first, lane, shut, turn, permits, active, limit, arrival = reply
            found.append(
                LanePicture(
                    subject,
                    now_ms=now,
                    fair=fair == b"1",
                    turn_now=_number(turn_now) or 0,
                    first=_number(first),
                    open=_score(lane),
                    shut=float(shut) if shut else None,
                    turn=_number(turn),
                    permits=_number(permits) or 0,
                    active=None if active == b"" else active,
                    limit=_limit(limit) if limit else NO_LIMIT,
                    arrival_us=_score(arrival),
                )
            )
        return found

    async def _unique(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        replies = await self._run("inspect_unique", queue, [s.raw[0] for s in subjects])
        found: list[Sight] = []
        for subject, (raw_id, till, raw) in zip(subjects, replies, strict=True):
            holder = unpack_id(raw_id) if raw_id else None
            record = _record(holder or "", raw)
            found.append(KeyPicture(subject, holder, _score(till), record, bool(raw)))
        return found

    async def _groups(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        replies = await self._run("inspect_groups", queue, [s.raw[0] for s in subjects])
        found: list[Sight] = []
        for subject, (size, rule, due, first, last) in zip(subjects, replies, strict=True):
            found.append(
                GroupPicture(subject, size, _rule(rule) if rule else None, bool(rule),
                             _score(due), _record("", first), _record("", last))
            )  # fmt: skip
        return found

    async def _schedules(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        names = [subject.raw[0] for subject in subjects]
        revision, *replies = await self._run("inspect_schedules", queue, names)
        found: list[Sight] = []
        for subject, (raw, tick) in zip(subjects, replies, strict=True):
            schedule = read_schedule(subject.name, raw, _score(tick) or 0) if raw else None
            found.append(
                SchedulePicture(subject, schedule, bool(raw), _score(tick), int(revision))
            )
        return found

    async def _letters(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        kinds = {Kind.MESSAGE: b"outbox", Kind.ENDING: b"endings", Kind.SENDER: b"received"}
        args: list[bytes] = []
        for subject in subjects:
            args += (kinds[subject.kind], subject.raw[0])
        sent, rippled, *replies = await self._run("inspect_mail", queue, args)
        last = {Kind.MESSAGE: int(sent), Kind.ENDING: int(rippled)}
        return [
            _letter(subject, last.get(subject.kind, 0), reply)
            for subject, reply in zip(subjects, replies, strict=True)
        ]

    async def running(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        key = self._keys.of(queue, ("active",))[0]
        following, items = await self._gateway.call(b"ZSCAN", key, cursor, b"COUNT", 400)
        ids = items[::2]
        found: list[tuple[Fence, str]] = []
        for own, raw in zip(ids, await self._records(queue, ids), strict=True):
            record = _record(unpack_id(own), raw or b"")
            if record is not None and record.state is State.ACTIVE:
                fence = Fence(record.id, record.deliveries, record.nonce)
                found.append((fence, record.limit_key))
        return int(following), tuple(found)

    async def shape(self, queue: str) -> Shape:
        names = self._keys.of(queue, QUEUE_KEYS)
        mortal: list[str] = []
        odd: list[str] = []
        for name, key in zip(QUEUE_KEYS, names, strict=True):
            kind = await self._gateway.call(b"TYPE", key)
            expected = b"hash" if name in STRING_HASHES else b"zset"
            if kind not in (expected, b"none"):
                odd.append(f"{key.decode()} ({kind.decode()}, not {expected.decode()})")
            if await self._gateway.call(b"PTTL", key) >= 0:
                mortal.append(key.decode())
        return Shape(tuple(mortal), await self._strays(queue, frozenset(names)), tuple(odd))

    async def _strays(self, queue: str, known: frozenset[bytes]) -> tuple[str, ...]:
        # Of what goes by a pattern's characters, the prefix alone can have some.
        begin = self._keys.of(queue, ("",))[0]
        pattern = b"".join(b"\\" + bytes([c]) if c in b"*?[]^\\" else bytes([c]) for c in begin)
        strays: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, found = await self._gateway.call(
                b"SCAN", cursor, b"MATCH", pattern + b"*", b"COUNT", 1000
            )
            strays |= set(found) - known
            if int(cursor) == 0:
                return tuple(sorted(key.decode("utf-8", "replace") for key in strays))

    async def mend(self, queue: str, repair: Repair) -> bool:
        name, args = _mending(repair, self._now())
        if repair.what is Action.PERSIST:
            return bool(await self._gateway.call(b"PERSIST", repair.about.name.encode()))
        return bool(await self._run(name, queue, args))


def _mending(repair: Repair, now: int | str) -> tuple[str, list[Any]]:
    """Give the script of a repair, and its arguments."""
    about, raw = repair.about, repair.about.raw
    match repair.what:
        case Action.SEQ:
            return "mend_meta", ["seq", pack_id(about.name)]
        case Action.SENT | Action.ENQUEUED:
            return "mend_meta", [str(repair.what), ""]
        case Action.SEAT:
            name, _, own = split_seat(raw[1])
            return "mend_seat", [now, *raw, own, name]
        case Action.TIE:
            edge, need, source, _ = _tie_args(about)
            return "mend_tie", [now, edge, need, source, raw[1]]
        case Action.FREE:
            return "mend_unique", [raw[0]]
        case Action.PERMITS | Action.LANE:
            return "mend_lane", [now, str(repair.what), raw[0]]
        case Action.GROUP:
            return "mend_group", [raw[0]]
        case Action.SCHEDULE:
            return "mend_schedule", [raw[0]]
        case _:
            return "mend_task", [now, str(repair.what), pack_id(about.name)]


def _tie_args(subject: Subject) -> tuple[bytes, bytes, bytes, bytes]:
    source, dependent = subject.raw
    edge = b"" if "/" in subject.name else bytes([len(source)]) + source + dependent
    need = b"" if "/" in subject.other else bytes([len(dependent)]) + dependent + source
    return edge, need, source if edge else b"", dependent if need else b""


def _picture(task_id: str, reply: Sequence[Any]) -> Picture:
    raw, envelope, *rest = reply
    lengths, others = rest[: len(CONTENTS)], rest[len(CONTENTS) :]
    picture = decode_picture(task_id, (raw, envelope, b"", b"", b"", b"", *others))
    kept = frozenset(name for name, size in zip(CONTENTS, lengths, strict=True) if size)
    record = picture.record
    if record is not None:
        record = attrs.evolve(record, envelope=b"")
    return attrs.evolve(picture, record=record, kept=kept, unreadable=bool(raw) and record is None)


def _limit(packed: bytes) -> Limit | None:
    try:
        limit = read_limit(packed)
    except (*UNREADABLE, LookupError):
        return None
    fields = attrs.astuple(limit)
    return limit if all(type(n) is int and n >= 0 for n in fields) and limit.burst else None


def _rule(packed: bytes) -> Rule | None:
    try:
        rule = read_rule(packed)
    except (*UNREADABLE, LookupError):
        return None
    return rule if all(type(n) is int and n >= 0 for n in attrs.astuple(rule)) else None


def _letter(subject: Subject, last: int, members: Sequence[bytes]) -> LetterPicture:
    items: list[Mail | Ending | int | None] = []
    numbers: list[int] = []
    for member in members:
        item, number = _letter_item(subject.kind, member)
        items.append(item)
        numbers.append(number)
    if subject.kind is Kind.SENDER:
        last = max(numbers, default=0)
    return LetterPicture(subject, last, tuple(items), tuple(numbers))


def _letter_item(kind: Kind, member: bytes) -> tuple[Mail | Ending | int | None, int]:
    try:
        if kind is Kind.SENDER:
            return int(member), int(member)
        if kind is Kind.MESSAGE:
            mail = read_mail(member)
            return mail, int(mail.seq)
        return read_ending(member), int(_first(member))
    except (*UNREADABLE, LookupError, AttributeError):
        return None, -1


def _first(member: bytes) -> int:
    from rediq_trio.store.packing import unpack

    number: int = unpack(member, texts=False)[0]
    return number
