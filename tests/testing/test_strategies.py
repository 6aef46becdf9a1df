from __future__ import annotations

import datetime as dt
import decimal
import uuid
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import Phase, find, given, settings

import rediq_trio as rediq
from rediq_trio.tasks.prepare import prepare
from rediq_trio.testing.fleets.plan import FaultPlan, Work
from rediq_trio.testing.fleets.scenario import Scenario, draw_plan
from rediq_trio.testing.strategies import plans, tasks

app = rediq.App("strategies")


@attrs.frozen
class Order:
    number: int
    due: dt.datetime
    items: dict[str, decimal.Decimal]


@app.task("orders:take", queue="sales")
async def take(order: Order, who: uuid.UUID, rush: bool = False) -> None: ...


@app.task("orders:count")
async def count(number: int, note: Any, **more: str) -> None: ...


class Opaque:
    def __init__(self, secret) -> None:  # type: ignore[no-untyped-def]
        self.secret = secret


@settings(max_examples=40)
@given(tasks(app))
def test_a_drawn_task_can_be_sent_and_fits_its_handler(task: rediq.Task[Any]) -> None:
    prepare(task, 10**6)
    assert task.type in {"orders:take", "orders:count"}
    if task.type == "orders:take":
        assert task.queue == "sales"
        assert isinstance(task.payload["order"], Order)


@settings(max_examples=40)
@given(tasks(app, count))
def test_only_the_named_types_are_drawn(task: rediq.Task[Any]) -> None:
    assert task.type == "orders:count"
    assert -(2**63) <= task.payload["number"] < 2**64


@settings(max_examples=40)
@given(tasks(app, "orders:count", priority=7, queue="other"))
def test_options_are_those_of_the_tasks(task: rediq.Task[Any]) -> None:
    assert (task.priority, task.queue) == (7, "other")


def test_a_parameter_with_a_default_is_sometimes_left_out() -> None:
    drawn = tasks(app, take)
    # To shrink and explain what is found would take most of the time.
    quick = settings(phases=[Phase.generate])
    assert "rush" not in find(drawn, lambda task: "rush" not in task.payload, settings=quick).payload
    assert find(drawn, lambda task: task.payload.get("rush") is True, settings=quick).payload["rush"]


def some_work(random: Random) -> list[Work]:
    return [Work(at=random.uniform(0, 60), type="work") for _ in range(5)]


@settings(max_examples=40)
@given(plans(Scenario(work=some_work), servers=2, seconds=60))
def test_a_drawn_plan_is_one_of_its_scenario(plan: FaultPlan) -> None:
    assert plan.servers == 2
    assert len(plan.works) <= 5
    whole = draw_plan(Scenario(work=some_work), plan.seed, servers=2, seconds=60)
    assert {*plan.works} <= {*whole.works}
    assert {*plan.faults} <= {*whole.faults}


def test_a_plan_is_made_smaller_by_leaving_parts_out() -> None:
    drawn = plans(Scenario(work=some_work), servers=2, seconds=60)
    found = find(drawn, lambda plan: len(plan.works) > 1, settings=settings(database=None))
    assert (len(found.works), found.faults) == (2, ())


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda: tasks("app"), rediq.ConfigError, "app='app': must be an App"),  # type: ignore[arg-type]
        (lambda: tasks(rediq.App("none")), rediq.ConfigError, "an App with handlers"),
        (lambda: tasks(app, "orders:cuont"), rediq.UnknownTaskType, "no handler is named 'orders:cuont'"),
        (lambda: plans(5), rediq.ConfigError, "scenario=5: must be a Scenario"),  # type: ignore[arg-type]
        (lambda: plans(Scenario(work=some_work), servers=0), rediq.ConfigError, "servers=0"),
        (lambda: tasks(app, priority=101), rediq.ConfigError, "priority=101"),
        (lambda: tasks(app, prioritty=1), rediq.ConfigError, "did you mean priority?"),  # type: ignore[call-arg]
    ],
)
def test_what_is_wrong_is_named(wrong: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        wrong()


def test_an_annotation_without_values_is_named() -> None:
    other = rediq.App("other")

    @other.task("orders:hide")
    async def hide(order: Opaque) -> None: ...

    with pytest.raises(rediq.ConfigError, match=r"orders:hide: order= .*register_type_strategy"):
        tasks(other, hide)
