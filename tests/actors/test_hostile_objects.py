"""Exceptions and values whose methods raise whatever they like: the attempt fails, the worker goes on."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Completed, Failed, Outcome
from tests.actors.parts import Bench, new_task

pytestmark = pytest.mark.mock_clock

RAISED = [ValueError, SystemExit, GeneratorExit, RecursionError]


class Hostile(Exception):
    """Raises from every method that somebody might call."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def _refuse(self, *_: object) -> Any:
        raise self.error

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = _refuse  # type: ignore[assignment]


class HostileGroup(BaseExceptionGroup[BaseException]):
    def derive(self, excs: object) -> Any:
        raise SystemExit(4)


class HostileKind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit(5)


class Hostility(Exception, metaclass=HostileKind):
    pass


@attrs.define
class HostileValue:
    error: BaseException

    def __repr__(self) -> str:
        raise self.error

    def __getattribute__(self, name: str) -> Any:
        raise object.__getattribute__(self, "error")


class HostileText(str):
    def __len__(self) -> int:
        raise SystemExit(6)

    def __str__(self) -> str:
        raise SystemExit(7)


def app_of(what: Any, **rules: Any) -> rediq.App:
    app = rediq.App()

    @app.task("hostile", **rules)
    async def hostile() -> object:
        if isinstance(what, BaseException):
            raise what
        return what()

    @app.task("noop")
    async def noop() -> None:
        pass

    return app


async def outcome_of(app: rediq.App) -> Outcome | None:
    bench = Bench(app, concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("hostile"), new_task("noop"))
        first = (await bench.outcomes.receive()).written
        assert isinstance((await bench.outcomes.receive()).written, Completed)
        bench.leases.close()
    return first


@pytest.mark.parametrize("kind", RAISED)
async def test_an_exception_that_cannot_be_shown_has_a_text_that_says_so(
    kind: type[BaseException],
) -> None:
    outcome = await outcome_of(app_of(Hostile(kind())))
    assert isinstance(outcome, Failed)
    assert outcome.error == f"Hostile: (its __str__ raised {kind.__name__})"


@pytest.mark.parametrize("kind", RAISED)
async def test_a_value_that_cannot_be_read_is_final(kind: type[BaseException]) -> None:
    value = HostileValue(kind())
    outcome = await outcome_of(app_of(lambda: value))
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error == kind.__name__


async def test_a_text_that_cannot_be_measured_is_final() -> None:
    outcome = await outcome_of(app_of(lambda: HostileText("x")))
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error == "SystemExit: 6"


async def test_its_record_has_a_traceback_and_the_fields_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    await outcome_of(app_of(Hostile(SystemExit(3))))
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "hostile" in caplog.text.partition("Traceback (most recent call last):")[2]
    assert record.__dict__["type"] == "hostile"


async def test_a_group_that_cannot_be_split_fails_its_attempt() -> None:
    group = HostileGroup("both", [ValueError("one"), Hostile(SystemExit(3))])
    outcome = await outcome_of(app_of(group))
    assert isinstance(outcome, Failed)
    assert "ValueError: one; Hostile: (its __str__ raised SystemExit)" in outcome.error


async def test_a_class_that_refuses_to_judge_leaves_it_to_the_backoff() -> None:
    outcome = await outcome_of(app_of(ValueError("bad"), give_up_on=Hostility))
    assert isinstance(outcome, Failed)
    assert not outcome.final
    assert outcome.error == "ValueError: bad (to judge it raised SystemExit)"


async def test_an_error_whose_chain_contains_itself_has_a_text() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    outcome = await outcome_of(app_of(first))
    assert isinstance(outcome, Failed)
    assert outcome.error == "ValueError: first (caused by KeyError: 'second')"
