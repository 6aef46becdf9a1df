from __future__ import annotations

import itertools
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.testing.crash import Trial, crash_everywhere
from rediq_trio.testing.simulated.not_deterministic import NotDeterministic
from tests.testing import seats

BANK = Path(__file__).parents[2] / "docs" / "examples" / "bank"
ALL = ["kill", "freeze", "stop", "timeout"]


@pytest.fixture
def bank_trial(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], Trial]]:
    """Return what makes trials of the bank of the documentation, from the module of an app."""
    monkeypatch.syspath_prepend(str(BANK))
    for name in ("bank", "transfers", "repaired"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def trial_of(module: str) -> Callable[[], Trial]:
        def make() -> Trial:
            bank: Any = __import__("bank").Bank()
            app = __import__(module).make_app(bank)
            task = app.handler("bank:transfer").task(10)
            return Trial(app, task, lambda: (bank.balance, bank.moved))

        return make

    return trial_of


def seats_trial(*, repaired: bool) -> Trial:
    office = seats.BoxOffice()
    app = seats.make_app(office, repaired=repaired)
    return Trial(app, app.handler("seats:buy").task("A1", "4711"), office.effects)


def trial_of(handler: Callable[[list[str]], Any], **options: Any) -> Callable[[], Trial]:
    """Return what makes trials of a handler that writes into a list."""

    def make() -> Trial:
        done: list[str] = []
        app = rediq.App("trial")
        task_type = app.task("it", **options)(handler(done))
        return Trial(app, task_type.task(), lambda: done)

    return make


def line_of(path: Path, text: str) -> int:
    (found,) = (n for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if text in line)
    return found


def test_the_double_spend_of_the_bank_is_found_in_all_ways_and_named_by_its_line(
    bank_trial: Callable[[str], Callable[[], Trial]],
) -> None:
    report = crash_everywhere(bank_trial("transfers"))
    assert not report
    # At the second one a frozen server goes on with an old answer: the other one has done it meanwhile.
    assert [(point.number, point.way) for point in report.bad] == [
        (2, "freeze"),
        *((3, way) for way in ALL),
    ]
    assert report.checkpoints == 4
    assert len(report.points) == 4 * 4 - 1, "no handler runs out of time when it has returned"
    line = line_of(BANK / "transfers.py", "await bank.mark_done(me)")
    (where,) = {point.where for point in report.bad if point.number == 3}
    assert f"transfers.py:{line} in transfer > " in where
    assert where.endswith("in Bank.mark_done")
    for point in report.bad:
        assert point.effects[0] == {"ann": 80, "bob": 120}
        assert point.expected[0] == {"ann": 90, "bob": 110}
        assert (point.raised, point.is_end) == ("", False)
    text = str(report)
    assert "5 of 15 interruptions" in text
    assert where in text
    assert all(f"  {way}: " in text for way in ALL)
    assert "'ann': 80" in text
    assert "'ann': 90" in text
    assert "current_task().fence" in text


def test_the_repaired_bank_is_not_reported(
    bank_trial: Callable[[str], Callable[[], Trial]],
) -> None:
    report = crash_everywhere(bank_trial("repaired"))
    assert report, report
    assert (report.bad, len(report.points)) == ((), 7)
    assert str(report) == (
        "bank:transfer: 0 of 7 interruptions at 2 checkpoints changed its effects"
    )


def test_a_card_that_is_charged_twice_is_found_in_all_ways() -> None:
    report = crash_everywhere(lambda: seats_trial(repaired=False))
    assert {point.way for point in report.bad} == {*ALL}
    assert all(len(point.effects[0]) == 2 for point in report.bad)
    line = line_of(Path(seats.__file__), 'await task.once("charge", charge)')
    assert all(f"seats.py:{line} in buy" in point.where for point in report.bad)


def test_a_card_company_that_refuses_the_second_charge_is_not_reported() -> None:
    report = crash_everywhere(lambda: seats_trial(repaired=True))
    assert report, report


@pytest.mark.parametrize("is_async", [True, False])
def test_a_handler_without_checkpoints_is_run_again_if_its_server_dies_before_it_is_settled(
    is_async: bool,
) -> None:
    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            done.append("paid")

        def pay_in_a_thread() -> None:
            done.append("paid")

        return pay if is_async else pay_in_a_thread

    report = crash_everywhere(trial_of(handler))
    assert report.checkpoints == 1
    assert [(point.way, point.is_end, point.effects) for point in report.bad] == [
        ("kill", True, ["paid", "paid"]),
        ("freeze", True, ["paid", "paid"]),
    ]
    assert "the end of it (checkpoint 1)" in str(report)


def test_what_a_frozen_server_writes_when_it_goes_on_is_seen() -> None:
    # Each attempt asks first, and writes once; only one that was frozen between the two is too late.
    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            paid = "paid" in done
            await trio.sleep(0.01)
            if not paid:
                done.append("paid")

        return pay

    report = crash_everywhere(trial_of(handler))
    assert [(point.way, point.is_end) for point in report.bad] == [("freeze", False)]


def test_a_handler_that_fails_when_it_is_run_again_is_reported_with_its_error() -> None:
    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            if done:
                raise ValueError("duplicate key")
            done.append("paid")
            await trio.sleep(0.01)

        return pay

    report = crash_everywhere(trial_of(handler, max_retry=1), ways=["kill"])
    assert [point.effects for point in report.bad] == [["paid"], ["paid"]]
    assert all("ValueError: duplicate key" in point.raised for point in report.bad)
    assert "ValueError: duplicate key" in str(report)


def test_a_task_that_may_not_be_retried_is_judged_by_its_effects() -> None:
    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            await trio.sleep(0.01)
            done.append("paid")

        return pay

    make = trial_of(handler, max_retry=0, max_crashes=0)
    assert {point.way for point in crash_everywhere(make).bad} == {"kill", "timeout"}

    def at_most_once() -> Trial:
        trial = make()
        return Trial(trial.app, trial.task, trial.effects, same=lambda found, _: len(found) <= 1)

    assert crash_everywhere(at_most_once, ways=["kill", "timeout", "stop"])


def test_checkpoints_of_tasks_that_a_handler_starts_count() -> None:
    def handler(done: list[str]) -> Any:
        async def part(n: int) -> None:
            await trio.sleep(n / 100)
            done.append(f"part {n}")

        async def both() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(part, 1)
                nursery.start_soon(part, 2)

        return both

    report = crash_everywhere(trial_of(handler), ways=["kill"])
    assert any("in part" in point.where for point in report.points)
    assert ["part 1", "part 1", "part 2"] in [point.effects for point in report.bad]


def test_several_processes_report_the_same_as_one(
    bank_trial: Callable[[str], Callable[[], Trial]], tmp_path: Path
) -> None:
    def counted() -> Trial:
        (tmp_path / f"{os.getpid()}").touch()
        return bank_trial("transfers")()

    one = crash_everywhere(counted)
    assert len([*tmp_path.iterdir()]) == 1
    for jobs in (2, 100):
        several = crash_everywhere(counted, jobs=jobs)
        assert several == one
        assert str(several) == str(one)
    assert len([*tmp_path.iterdir()]) == 1 + 2 + len(one.points)

    def lenient() -> Trial:
        trial = bank_trial("transfers")()
        return Trial(trial.app, trial.task, trial.effects, same=lambda found, expected: True)

    # Effects that are allowed to differ are shown as they were.
    several = crash_everywhere(lenient, jobs=2)
    assert several == crash_everywhere(lenient)
    assert several
    assert any(point.effects != point.expected for point in several.points)


def test_what_a_run_raises_is_the_same_with_several_processes() -> None:
    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            await trio.sleep(0.01)
            done.append("paid")

        return pay

    make = trial_of(handler)

    def uncopied() -> Trial:
        trial = make()

        def effects() -> object:
            done: Any = trial.effects()
            return done if len(done) == 1 else threading.Lock()

        return Trial(trial.app, trial.task, effects)

    said = set[str]()
    for jobs in (1, 2):
        with pytest.raises(rediq.ConfigError, match="cannot be copied") as caught:
            crash_everywhere(uncopied, jobs=jobs)
        said.add(re.sub("0x[0-9a-f]+", "", str(caught.value)))
    assert len(said) == 1


def test_only_so_many_checkpoints_are_tried_and_the_report_says_so(
    bank_trial: Callable[[str], Callable[[], Trial]],
) -> None:
    report = crash_everywhere(bank_trial("transfers"), ways=["stop"], most=2)
    assert report
    assert str(report) == (
        "bank:transfer: 0 of 2 interruptions at 2 of 4 checkpoints changed its effects"
    )


def test_a_handler_that_fails_without_interruption_is_no_trial() -> None:
    calls = []

    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            calls.append("called")
            raise ValueError("no such account")

        return pay

    with pytest.raises(rediq.ConfigError, match=r"fails without any interruption.*no such account"):
        crash_everywhere(trial_of(handler, max_retry=0))
    assert calls == ["called"]


def test_a_handler_whose_checkpoints_differ_is_named() -> None:
    runs = itertools.count()

    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            for _ in range(next(runs)):
                await trio.sleep(0.01)

        return pay

    with pytest.raises(NotDeterministic, match=r"part at checkpoint 1: .*test_crash.py:.* usual suspects"):
        crash_everywhere(trial_of(handler))


def test_checkpoints_that_differ_in_an_interrupted_run_are_named() -> None:
    runs = itertools.count()

    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            # The first two runs are those without an interruption.
            for _ in range(1 + next(runs) // 3):
                await trio.sleep(0.01)

        return pay

    with pytest.raises(NotDeterministic, match="two runs from the same seed part at checkpoint 2: the end"):
        crash_everywhere(trial_of(handler), ways=["stop"])


def test_tasks_that_the_handler_enqueues_are_not_interrupted() -> None:
    def make() -> Trial:
        done: list[str] = []
        app = rediq.App("trial")

        @app.task("child")
        async def child() -> None:
            await trio.sleep(0.01)
            done.append("child")

        @app.task("parent")
        async def parent() -> None:
            rediq.current_task().enqueue_after(child.task())

        return Trial(app, parent.task(), lambda: done)

    report = crash_everywhere(make)
    assert (report.checkpoints, bool(report)) == (1, True), report
    assert report.points[0].effects == ["child"]


def test_effects_that_differ_from_run_to_run_are_named() -> None:
    runs = itertools.count()

    def handler(done: list[str]) -> Any:
        async def pay() -> None:
            done.append(f"receipt {next(runs)}")

        return pay

    with pytest.raises(NotDeterministic, match=r"different effects: \['receipt 0'\], then \['receipt 1'\]"):
        crash_everywhere(trial_of(handler))


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise TypeError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Uncopied:
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("holds a connection")


async def awaited() -> list[str]:
    return []


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (lambda: Uncopied(), "cannot be copied: return plain data"),
        (lambda: Unequal(), "cannot be compared: ambiguous"),
        (lambda: object(), "cannot be compared, as a copy of them is not equal"),
        (awaited, "no async def"),
    ],
)
def test_effects_that_cannot_be_copied_or_compared_are_refused_at_the_first_run(
    effects: Callable[[], Any], said: str
) -> None:
    made = []

    def make() -> Trial:
        made.append("trial")
        app = rediq.App("trial")

        @app.task("it")
        async def it() -> None: ...

        return Trial(app, it.task(), effects)

    with pytest.raises(rediq.ConfigError, match=said):
        crash_everywhere(make)
    assert made == ["trial"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"make": None}, "make=None: must be a function that returns a Trial"),
        ({"make": lambda: None}, "make=None: must be a function that returns a Trial"),
        ({"ways": []}, r"ways=\[\]: must be some of kill, freeze, stop, timeout"),
        ({"ways": "kill"}, "ways='kill': must be some of kill, freeze, stop, timeout"),
        ({"ways": ["kil"]}, "ways='kil': must be some of kill, freeze, stop, timeout"),
        ({"most": 0}, "most=0: must be"),
        ({"most": 1.5}, "most=1.5: must be"),
        ({"jobs": 0}, "jobs=0: must be a whole number from 1 to 256"),
        ({"jobs": True}, "jobs=True: must be"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    make = trial_of(lambda done: lambda: None)
    with pytest.raises(rediq.ConfigError, match=said):
        crash_everywhere(**{"make": make, **arguments})


@pytest.mark.parametrize(
    ("field", "said"),
    [("app", "an App"), ("task", "a Task"), ("effects", "a function"), ("same", "a function")],
)
def test_a_bad_field_of_a_trial_is_named(field: str, said: str) -> None:
    app = rediq.App("trial")
    fields: dict[str, Any] = {"app": app, "task": rediq.Task("it"), "effects": list, field: 5}
    with pytest.raises(rediq.ConfigError, match=f"{field}=5: must be {said}"):
        Trial(**fields)


def test_the_warnings_of_interrupted_runs_are_not_logged(
    bank_trial: Callable[[str], Callable[[], Trial]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        crash_everywhere(bank_trial("repaired"))
    assert caplog.records == []
    assert not logging.getLogger("rediq_trio").disabled
