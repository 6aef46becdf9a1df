"""Reading a queue's structures from Redis for a check, and putting them right.

Each picture is read by one script call; what the bytes mean is decided here, and what is
wrong in `spec.structures`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rediq_trio.spec.check.repairs import Action, Repair
from rediq_trio.spec.check.views import (
    GroupPicture,
    KeyPicture,
    Kind,
    LanePicture,
    Picture,
    SchedulePicture,
    SeatPicture,
    Shape,
    Sight,
    Subject,
    TiePicture,
)
from rediq_trio.spec.ids import unpack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import NO_LIMIT, Fence
from rediq_trio.store.redis.check.repair_calls import mending, tie_args
from rediq_trio.store.redis.check.scan import STRUCTURES, how_many, split_seat
from rediq_trio.store.redis.check.views_codec import (
    letter_of,
    limit_of,
    number_of,
    picture_of,
    record_of,
    rule_of,
    score_of,
)
from rediq_trio.store.redis.codec import read_schedule
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.durability import Confirm
from rediq_trio.store.redis.keys import HASHES, QUEUE_KEYS, Keys

AT_ONCE = 50
"""Pictures of one call: it keeps Redis busy for about a millisecond."""
BITS = 64
"""More than there are structures."""
STRING_HASHES = (*HASHES, "meta", "permits", "turns", "limits", "unique", "received", "rules",
                 "schedules")  # fmt: skip
"""The keys that are hashes; the history is a stream, the others are sorted sets."""

Run = Callable[..., Awaitable[Any]]


class Sights:
    """The eyes of a store. Made by `RedisStore`."""

    def __init__(
        self, gateway: Gateway, keys: Keys, run: Run, now: Callable[[], int | str]
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._run = run
        self._now = now
        self._counts: dict[tuple[str, int], int] = {}
        """How many items to read next of a structure; a hint, whatever sweep it comes from."""
        self._ways: dict[Kind, Callable[[str, Sequence[Subject]], Awaitable[list[Any]]]] = {
            Kind.SEAT: self._seats,
            Kind.TIE: self._relations,
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
        count = self._counts.get((queue, number), structure.at_once) if position else structure.at_once
        position, items = await self._gateway.read(scan, key, position, b"COUNT", count)
        self._counts[queue, number] = how_many(items)
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
            found += await self._gateway.read(b"HMGET", key, *ids[i : i + AT_ONCE])
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
                found.append(picture_of(unpack_id(own), reply))
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
                SeatPicture(subject, State(state), name, int(place), score_of(score),
                            record_of(subject.name, raw), bool(raw), bool(envelope), bool(settled))
            )  # fmt: skip
        return found

    async def _relations(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        args: list[bytes] = []
        for subject in subjects:
            args += tie_args(subject)
        found: list[Sight] = []
        replies = await self._run("inspect_ties", queue, args)
        for subject, reply in zip(subjects, replies, strict=True):
            edge, need, one, two, needs, ending = reply
            abroad = "/" in subject.name or "/" in subject.other
            found.append(
                TiePicture(
                    subject,
                    edge=edge != b"",
                    need=need != b"",
                    source=record_of(subject.name, one),
                    dependent=record_of(subject.other, two),
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
                    turn_now=number_of(turn_now) or 0,
                    first=number_of(first),
                    open=score_of(lane),
                    shut=float(shut) if shut else None,
                    turn=number_of(turn),
                    permits=number_of(permits) or 0,
                    active=None if active == b"" else active,
                    limit=limit_of(limit) if limit else NO_LIMIT,
                    arrival_us=score_of(arrival),
                )
            )
        return found

    async def _unique(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        replies = await self._run("inspect_unique", queue, [s.raw[0] for s in subjects])
        found: list[Sight] = []
        for subject, (raw_id, till, raw) in zip(subjects, replies, strict=True):
            holder = unpack_id(raw_id) if raw_id else None
            record = record_of(holder or "", raw)
            found.append(KeyPicture(subject, holder, score_of(till), record, bool(raw)))
        return found

    async def _groups(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        replies = await self._run("inspect_groups", queue, [s.raw[0] for s in subjects])
        found: list[Sight] = []
        for subject, (size, rule, due, first, last) in zip(subjects, replies, strict=True):
            found.append(
                GroupPicture(subject, size, rule_of(rule) if rule else None, bool(rule),
                             score_of(due), record_of("", first), record_of("", last))
            )  # fmt: skip
        return found

    async def _schedules(self, queue: str, subjects: Sequence[Subject]) -> list[Sight]:
        names = [subject.raw[0] for subject in subjects]
        revision, *replies = await self._run("inspect_schedules", queue, names)
        found: list[Sight] = []
        for subject, (raw, tick) in zip(subjects, replies, strict=True):
            schedule = read_schedule(subject.name, raw, score_of(tick) or 0) if raw else None
            found.append(
                SchedulePicture(subject, schedule, bool(raw), score_of(tick), int(revision))
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
            letter_of(subject, last.get(subject.kind, 0), reply)
            for subject, reply in zip(subjects, replies, strict=True)
        ]

    async def running(
        self, queue: str, cursor: int
    ) -> tuple[int, tuple[tuple[Fence, str], ...]]:
        key = self._keys.of(queue, ("active",))[0]
        following, items = await self._gateway.read(b"ZSCAN", key, cursor, b"COUNT", 400)
        ids = items[::2]
        found: list[tuple[Fence, str]] = []
        for own, raw in zip(ids, await self._records(queue, ids), strict=True):
            record = record_of(unpack_id(own), raw or b"")
            if record is not None and record.state is State.ACTIVE:
                fence = Fence(record.id, record.deliveries, record.nonce)
                found.append((fence, record.limit_key))
        return int(following), tuple(found)

    async def shape(self, queue: str) -> Shape:
        names = self._keys.of(queue, QUEUE_KEYS)
        mortal: list[str] = []
        odd: list[str] = []
        reply = await self._run("inspect_keys", queue, ())
        for name, key, kind, left in zip(QUEUE_KEYS, names, reply[::2], reply[1::2], strict=True):
            expected = b"hash" if name in STRING_HASHES else b"stream" if name == "history" else b"zset"
            if kind not in (expected, b"none"):
                odd.append(f"{key.decode()} ({kind.decode()}, not {expected.decode()})")
            if left >= 0:
                mortal.append(key.decode())
        return Shape(tuple(mortal), await self._strays(queue, frozenset(names)), tuple(odd))

    async def _strays(self, queue: str, known: frozenset[bytes]) -> tuple[str, ...]:
        # Names have none of the characters that mean something in a pattern.
        pattern = self._keys.of(queue, ("*",))[0]
        strays: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, found = await self._gateway.read(
                b"SCAN", cursor, b"MATCH", pattern, b"COUNT", 1000, key=pattern
            )
            strays |= set(found) - known
            if int(cursor) == 0:
                return tuple(sorted(key.decode("utf-8", "replace") for key in strays))

    async def mend(self, queue: str, repair: Repair) -> bool:
        name, args = mending(repair, self._now())
        if repair.what is Action.PERSIST:
            key = repair.about.name.encode()
            return bool(await self._gateway.write(b"PERSIST", key, confirm=Confirm.RAISE))
        return bool(await self._run(name, queue, args))
