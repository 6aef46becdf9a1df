"""`rediq workflow`, as somebody types it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State, Task
from rediq_trio.cli.tasks.workflow import LETTERS, NAMED_NEEDS, drawn
from tests.cli.conftest import Place
from tests.cli.test_operate import ESCAPED, HOSTILE, Typed, typed, work

__all__ = ["typed"]


def shape() -> rediq.Workflow[Any]:
    workflow: rediq.Workflow[Any] = rediq.Workflow("nightly")
    first = workflow.add(Task("good", queue="emails"), "fetch")
    second = workflow.add(Task("bad", queue="reports", max_retry=0), "join", after=first)
    workflow.add(Task("good", queue="emails"), "report", after=[first, second])
    return workflow


def put(place: Place, *workflows: rediq.Workflow[Any]) -> list[str]:
    async def enqueue() -> list[str]:
        async with place.client() as client:
            return [(await client.enqueue(each)).id for each in workflows]

    return trio.run(enqueue)


def test_a_workflow_goes_from_the_list_to_its_end(typed: Typed) -> None:
    assert typed("workflow", "list").out == "no workflows\n"
    [ident] = put(typed.place, shape())
    listed = typed("workflow", "list")
    assert listed.status == 0
    assert listed.lines[1].split()[:6] == [ident, "nightly", "running", "0/3", "0", "3"]
    shown = typed("workflow", "show", ident)
    assert shown.status == 0
    assert shown.lines[shown.lines.index("") + 1 :][:4] == [
        "[P] fetch", "  [B] join  <- fetch", "    [B] report  <- fetch, join", "P pending  B blocked",
    ]  # fmt: skip
    work(typed.place, "emails", "reports")
    shown = typed("workflow", "show", ident)
    assert shown.status == 1
    assert "    [D] report  <- fetch, join" in shown.lines
    assert "  progress  1 of 3 completed, 2 dead" in shown.lines
    assert shown.lines[-1] == f"next: rediq workflow retry {ident}"
    [facts] = typed("workflow", "list", "--state", "dead", "--json").objects
    assert (facts["id"], facts["failed"], facts["done"], facts["total"]) == (ident, 2, 1, 3)
    assert typed("workflow", "list", "--state=running").out == "no workflow is running\n"

    refused = typed("workflow", "retry", ident)
    assert refused.status == 2
    assert "pass --yes" in refused.err
    dry = typed("workflow", "retry", ident, "--dry-run")
    assert dry.err == "would retry 2 tasks of workflow nightly; nothing was changed\n"
    assert typed("workflow", "retry", ident, "--yes").out == "2 tasks ready again\n"
    assert typed("workflow", "show", ident).status == 0
    assert typed("workflow", "cancel", ident, "--yes").out == "2 tasks cancelled\n"
    said = typed("workflow", "cancel", ident, "--yes", "--json")
    assert said.objects == [{"rediq": 1, "id": ident, "changed": 0}]


def test_a_workflow_as_json_has_its_nodes(typed: Typed) -> None:
    [ident] = put(typed.place, shape())
    [facts] = typed("workflow", "show", ident, "--json").objects
    assert facts["counts"]["blocked"] == 2
    assert [(one["name"], one["state"], one["after"]) for one in facts["nodes"]] == [
        ("fetch", "pending", []), ("join", "blocked", ["fetch"]), ("report", "blocked", ["fetch", "join"]),
    ]  # fmt: skip
    assert facts["nodes"][0]["task"].startswith("emails/")


def test_pages_of_workflows_meet(typed: Typed) -> None:
    ids = put(typed.place, *(shape() for _ in range(3)))
    first = typed("workflow", "list", "--limit=2")
    assert [line.split()[0] for line in first.lines[1:3]] == ids[:0:-1]
    assert first.lines[-1].startswith("next page: --after ")
    rest = typed("workflow", "list", "--after", first.lines[-1].split()[-1])
    assert [line.split()[0] for line in rest.lines[1:]] == ids[:1]
    oldest = typed("workflow", "list", "--oldest", "--limit=1")
    assert oldest.lines[1].split()[0] == ids[0]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("workflow", "show", "none"), 3, "no workflow 'none'"),
        (("workflow", "retry", "none", "--yes"), 3, "See 'rediq workflow list'"),
        (("workflow", "show", "a/b"), 2, "workflow"),
        (("workflow", "list", "--limit=0"), 2, "--limit"),
        (("workflow", "list", "--after=x"), 2, "after"),
        (("workflow", "list", "--state=odd"), 2, "--state"),
    ],
)
def test_what_is_wrong_has_a_status_and_a_line(
    typed: Typed, arguments: tuple[str, ...], status: int, said: str
) -> None:
    found, line = typed.one_line(*arguments)
    assert found == status
    assert said in line


def test_every_state_has_a_letter_of_its_own() -> None:
    assert LETTERS.keys() == {*State, None}
    assert len({*LETTERS.values()}) == len(LETTERS)


def test_hostile_names_are_escaped_and_long_lists_are_cut() -> None:
    many = [f"n{n}" for n in range(NAMED_NEEDS + 3)]
    needs: Mapping[str, list[str]] = {**{name: [] for name in many}, HOSTILE: many, "z": [HOSTILE]}
    lines = list(drawn(needs, dict.fromkeys(needs)))
    assert lines[len(many)] == f"  [-] {ESCAPED}  <- n0, n1, n2, n3, n4, n5, n6, n7 and 3 more"
    assert lines[-2] == f"    [-] z  <- {ESCAPED}"
    assert lines[-1] == "- gone"
