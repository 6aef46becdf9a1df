"""Logbooks: lines that are written once, in the order in which they came."""

import pytest

from rediq_trio.spec.history.logbook import LOGBOOK_SIZES, NONCES_COMPARED, Logbook

from .bench import START, Bench

AUDIT, MARKS = Logbook


async def write(bench: Bench, *texts: str, logbook: Logbook = AUDIT) -> list[tuple[int, int]]:
    return [
        await bench.store.log(logbook, nonce=text.encode(), data=b"\x00" + text.encode())
        for text in texts
    ]


async def read(bench: Bench, logbook: Logbook = AUDIT, **options: object) -> list[str]:
    lines = await bench.store.logged(logbook, limit=1000, **options)  # type: ignore[arg-type]
    return [line.nonce.decode() for line in lines]


async def test_a_line_has_the_time_of_the_server_and_what_was_written(bench: Bench) -> None:
    bench.clock.advance(7)
    [place] = await write(bench, "a")
    assert place == (START + 7, 0)
    [line] = await bench.store.logged(AUDIT, limit=5)
    assert (line.place, line.nonce, line.data) == (place, b"a", b"\x00a")


async def test_lines_of_one_instant_keep_their_order(bench: Bench) -> None:
    places = await write(bench, "a", "b", "c")
    assert places == [(START, 0), (START, 1), (START, 2)]
    assert await read(bench) == ["a", "b", "c"]
    bench.clock.advance(1)
    assert await write(bench, "d") == [(START + 1, 0)]


async def test_a_clock_that_is_set_back_moves_no_line(bench: Bench) -> None:
    await write(bench, "a")
    bench.clock.advance(-5)
    assert await write(bench, "b") == [(START, 1)]
    bench.clock.advance(5 + 1)
    assert await write(bench, "c") == [(START + 1, 0)]
    assert await read(bench) == ["a", "b", "c"]


async def test_a_repeated_call_writes_nothing_and_has_the_same_place(bench: Bench) -> None:
    places = await write(bench, "a", "b")
    bench.clock.advance(3)
    assert await write(bench, "a", "b") == places
    assert await read(bench) == ["a", "b"]


async def test_a_repeated_call_is_known_among_the_last_lines(bench: Bench) -> None:
    await write(bench, "a", *(f"b{n}" for n in range(NONCES_COMPARED - 1)))
    assert await write(bench, "a") == [(START, 0)]
    await write(bench, "one more", "a")
    assert len(await read(bench)) == NONCES_COMPARED + 2


async def test_logbooks_know_nothing_of_one_another(bench: Bench) -> None:
    await write(bench, "a")
    assert await write(bench, "a", logbook=MARKS) == [(START, 0)]
    await write(bench, "b", logbook=MARKS)
    assert (await read(bench), await read(bench, MARKS)) == (["a"], ["a", "b"])


@pytest.mark.parametrize("newest", [False, True])
async def test_pages_meet(bench: Bench, newest: bool) -> None:
    names = [f"{n:02}" for n in range(11)]
    for name in names:
        await write(bench, name)
        bench.clock.advance(int(name) % 3 == 0)
    found, after = [], None
    while True:
        page = await bench.store.logged(AUDIT, limit=4, after=after, newest=newest)
        found += [line.nonce.decode() for line in page]
        if len(page) < 4:
            break
        after = page[-1].place
    assert found == (names[::-1] if newest else names)


async def test_a_place_holds_when_its_line_is_gone(bench: Bench) -> None:
    most = LOGBOOK_SIZES[MARKS]
    [first] = await write(bench, "first", logbook=MARKS)
    await write(bench, *(f"{n}" for n in range(most + 3)), logbook=MARKS)
    lines = await bench.store.logged(MARKS, limit=1000, after=first)
    assert [line.nonce for line in lines] == [b"%d" % n for n in range(3, most + 3)]
    assert await bench.store.logged(MARKS, limit=5, after=first, newest=True) == ()


async def test_the_last_lines_are_kept(bench: Bench) -> None:
    most = LOGBOOK_SIZES[MARKS]
    await write(bench, *(f"{n}" for n in range(most)), logbook=MARKS)
    assert len(await read(bench, MARKS)) == most
    await write(bench, "another", logbook=MARKS)
    found = await read(bench, MARKS)
    assert (len(found), found[0], found[-1]) == (most, "1", "another")
