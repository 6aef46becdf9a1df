"""What each command prints with `--json`, against the schema that the documentation publishes."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import trio

import rediq_trio as rediq
from docs import command_line, output_schema
from rediq_trio.cli.main import make_parser
from tests.cli.conftest import Start, call, eventually
from tests.cli.test_history import GOOD, write
from tests.cli.test_operate import Typed, put, task, typed, work
from tests.cli.test_workflow import put as put_workflows
from tests.cli.test_workflow import shape

__all__ = ["typed"]

SCHEMA: dict[str, Any] = json.loads(
    (Path(output_schema.__file__).parent / "reference" / "output.schema.json").read_text("utf-8")
)


def strict(value: Any) -> Any:
    """Return a schema that forbids what it does not name: so no field is left out of it."""
    if isinstance(value, list):
        return [strict(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = {name: strict(each) for name, each in cast("dict[str, Any]", value).items()}
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found["additionalProperties"] = False
    return found


STRICT = strict(copy.deepcopy(SCHEMA))


def check(words: str, found: Mapping[str, Any], *, dry: bool = False) -> None:
    """Check one line of a command."""
    published = {**SCHEMA, "$ref": f"#/commands/{output_schema.key_of(words)}"}
    jsonschema.Draft202012Validator(published).validate(found)
    rest = {name: value for name, value in found.items() if name != "rediq"}
    own, dry_run = SCHEMA["commands"][output_schema.key_of(words)]["allOf"][1]["anyOf"]
    named = {"$defs": STRICT["$defs"], **strict(dry_run if dry else own)}
    jsonschema.Draft202012Validator(named).validate(rest)


def test_each_command_has_a_schema() -> None:
    words = {words.removeprefix("rediq ") for words, _, _ in command_line.parsers(make_parser())}
    assert words - output_schema.NO_JSON == output_schema.OUTPUTS.keys() - {""}
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_schema_refuses_what_a_command_does_not_print() -> None:
    check("mark", {"rediq": 1, **MARK})
    for bad in ({}, {"rediq": 1}, {"rediq": 2, **MARK}, {"rediq": 1, **MARK, "at": 5}):
        with pytest.raises(jsonschema.ValidationError):
            check("mark", bad)
    with pytest.raises(jsonschema.ValidationError):
        check("mark", {"rediq": 1, **MARK, "more": 1})


MARK = {"at": "2026-12-24T18:00:00Z", "by": "ann", "text": "x"}


def test_what_is_printed_fits_the_schema(
    typed: Typed, cli_start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = typed.place, set[str]()

    def run(words: str, *arguments: str, least: int = 1) -> list[dict[str, Any]]:
        said = typed(*words.split(), *arguments, "--json")
        assert said.status in (0, 1), said.err
        assert len(said.objects) >= least, (words, arguments, said)
        for found in said.objects:
            check(words, found, dry="--dry-run" in arguments)
        seen.add(words)
        return said.objects

    bad: dict[str, Any] = {"payload": {"text": "no"}}
    ids = put(
        place, *(task("bad", **bad) for _ in range(9)),
        task(payload={"b": b"\x00", "f": float("inf")}, delay=60, unique=rediq.Unique("k", ttl=9),
             backoff=rediq.Fixed(5), metadata={"a": "b"}, limit_key="ann", deadline=99),
        task("good", id="done"), task(group="g"), task(delay=60), task(delay=60),
    )  # fmt: skip
    work(place, "emails")
    waiting, blocked = ids[9], put(place, task(depends_on=ids[13]))[0]
    (kind,) = run("failures list")
    run("failures show", "emails", kind["kind"])
    run("", least=1)
    run("status")
    run("enqueue", "good", "a=1", "--queue=emails", "--dry-run")
    run("enqueue", "good", "a=1", "--queue=emails", "--id=new")
    for state in ("pending", "dead", "scheduled", "completed", "grouped", "blocked"):
        run("task list", "emails", f"--state={state}")
    for each in (waiting, blocked, ids[0], ids[10]):
        run("task show", each)
        run("task why", each)
    run("task wait", ids[10])
    run("task run-now", ids[12])
    run("task reschedule", ids[12], "--delay=60")
    run("task again", ids[0])
    monkeypatch.setenv("VISUAL", f"{sys.executable} -c pass")
    run("task edit", waiting)
    monkeypatch.setenv("VISUAL", "sed -i s/50,$/9,/")
    run("task edit", waiting)
    run("task edit", ids[0])
    run("task edit", ids[0], "--replace", "--dry-run")
    file = str(tmp_path / "dead")
    run("task export", "emails", file, "--state=dead")
    run("task import", "copies", file)
    run("task cancel", "emails/new", "--yes")
    run("task cancel", "emails", "--state=scheduled", "--priority=9", "--yes")
    run("task retry", "emails/new", "--yes")
    run("task retry", "emails", "--state=cancelled", "--yes")
    run("task requeue", ids[12], "--queue=slow", "--yes")
    run("task requeue", "emails", "--state=dead", "--type=x", "--queue=slow", "--yes")
    run("task delete", ids[1], "--yes")
    run("task delete", "emails", "--state=dead", "--type=x", "--yes")
    run("dead list", "emails")
    run("dead show", ids[0])
    run("dead retry", ids[2], "--yes")
    run("dead retry", "emails", "--type=x", "--yes")
    run("dead delete", ids[3], "--yes")
    run("dead delete", "emails", "--type=x", "--yes")
    run("failures retry", "emails", kind["kind"], "--yes", "--dry-run")
    run("failures retry", "emails", kind["kind"], "--yes")
    run("failures delete", "emails", kind["kind"], "--yes")
    run("dead retry-all", "emails", "--yes")
    run("dead delete-all", "emails", "--yes")
    run("queue limit", "emails", "--concurrency=5", "--rate=9/s")
    run("queue limit", "emails", "--key=ann", "--concurrency=1")
    run("queue targets", "emails", "--latency=1s", "--failures=1%")
    run("queue pause", "emails", "--reason=x")
    for words in ("queue list", "queue show", "queue series", "limit list", "group list", "check"):
        run(words, "emails")
    run("stats", "emails", "--since=24h")
    run("queue resume", "emails")
    run("schedule add", "nightly", "good", "--every=1h", "--queue=emails")
    for words in ("show", "next", "run", "pause", "resume"):
        run(f"schedule {words}", "nightly")
    run("schedule list")
    run("schedule remove", "nightly", "--yes")
    run("queue flush", "copies", "--yes")
    run("queue remove", "copies", "--yes")
    run("mark", "x")
    run("mark")
    run("audit")
    [flow] = put_workflows(place, shape())
    run("workflow list")
    run("workflow show", flow)
    run("workflow retry", flow, "--yes")
    work(place, "emails", "reports")
    run("workflow retry", flow, "--yes", "--dry-run")
    run("workflow retry", flow, "--yes")
    run("workflow cancel", flow, "--yes", "--dry-run")
    run("workflow cancel", flow, "--yes")
    run("workflow cancel", flow, "--yes")
    run("history", "emails", f"--output={tmp_path / 'h'}")
    said = typed("replay", write(tmp_path / "good", GOOD), "--json", flags=[])
    broken = typed("replay", write(tmp_path / "bad", [*GOOD, GOOD[-1]]), "--json", flags=[])
    for found in (*said.objects, *broken.objects):
        check("replay", found)
    bank = Path(output_schema.__file__).parent / "examples" / "bank"
    monkeypatch.syspath_prepend(str(bank))
    monkeypatch.chdir(tmp_path)
    story = ["storm_transfers:story.make", "--at-rest=story.no_transfer_is_made_twice"]
    for each in (["--seed=0", "--seeds=1", "--hours=0.001"], ["--seed=60", "--seeds=9", "--hours=0.02"]):
        said = typed("sim", *story, *each, "--json", flags=[])
        check("sim", said.objects[0])
    assert said.objects[0]["failure"]["small_parts"] == 2
    run("doctor")
    run("bench", "--tasks=100")
    worker = cli_start("run", "served:app", "--name=w", "--shutdown-grace=0", *place.flags)

    async def running() -> None:
        async with place.client() as client:
            await client.enqueue(call("sleep", seconds=900))

            async def look() -> bool:
                workers = await client.workers()
                return bool(workers and workers[0].running)

            await eventually(look)

    trio.run(running)
    run("worker list")
    for words in ("show", "quiet", "work", "stacks"):
        run(f"worker {words}", "w")
    run("worker stop", "w", "--grace=0s", "--yes")
    assert worker.end() == 0
    assert seen | {"replay", "sim"} == output_schema.OUTPUTS.keys()
