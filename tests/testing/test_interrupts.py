"""Ctrl-C while a simulation runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.testing.simulation import Simulation


def an_app(interrupt: Callable[[], object], seen: list[str]) -> rediq.App:
    app = rediq.App("interrupted")

    @app.task("one")
    async def one() -> None:
        try:
            interrupt()
            seen.append("went on")
            await trio.sleep(10)
            seen.append("after 10 s")
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    return app


@contextmanager
def within_the_test() -> Generator[None]:
    """Let no interrupt out: it would end all tests."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise AssertionError("an interrupt that nobody expects") from error


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@within_the_test()
def test_it_ends_the_simulation_and_the_handler_does_not_see_it() -> None:
    seen = list[str]()
    sim = Simulation(an_app(ctrl_c, seen))
    sim.enqueue(rediq.Task("one", {}))
    with pytest.raises(KeyboardInterrupt):
        sim.advance(60)
    assert seen == ["went on"]
    sim.close()
    assert seen == ["went on", "Cancelled"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@within_the_test()
def test_a_second_one_ends_the_step_as_well() -> None:
    seen = list[str]()

    def twice() -> None:
        ctrl_c()
        ctrl_c()

    with Simulation(an_app(twice, seen)) as sim:
        sim.enqueue(rediq.Task("one", {}))
        with pytest.raises(KeyboardInterrupt):
            sim.advance(60)
        assert seen == ["KeyboardInterrupt"]


@within_the_test()
def test_one_that_comes_while_the_simulation_is_closed_is_not_lost() -> None:
    app = rediq.App("closing")

    @app.task("one")
    async def one() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ctrl_c()

    sim = Simulation(app)
    sim.enqueue(rediq.Task("one", {}))
    sim.advance(5)
    with pytest.raises(KeyboardInterrupt):
        sim.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("ignored", [True, False], ids=["ignored", "handled by the program"])
@within_the_test()
def test_what_a_program_has_decided_about_the_signal_is_kept(ignored: bool) -> None:
    seen, told = list[str](), list[int]()
    handler = signal.SIG_IGN if ignored else lambda number, frame: told.append(number)
    before = signal.signal(signal.SIGINT, handler)
    try:
        with Simulation(an_app(ctrl_c, seen)) as sim:
            sim.enqueue(rediq.Task("one", {}))
            sim.advance(60)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["went on", "after 10 s"]
    assert told == ([] if ignored else [signal.SIGINT])


@within_the_test()
def test_a_simulation_of_another_thread_leaves_the_signal_alone() -> None:
    seen = list[str]()

    def work() -> None:
        with Simulation(an_app(lambda: None, seen)) as sim:
            sim.enqueue(rediq.Task("one", {}))
            sim.advance(60)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["went on", "after 10 s"]
