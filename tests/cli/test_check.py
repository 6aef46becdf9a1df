"""`rediq check` as a process: what it says, what it repairs, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio.spec.check.meanings import ADVICE, MEANINGS
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from tests.cli.conftest import HERE, Place, cli_call, cli_environment
from tests.stored import LONG


async def raw(place: Place, command: str, name: str, *args: Any) -> Any:
    """Send a command about one key of the queue `default`."""
    keys = Keys(place.prefix)
    async with open_gateway(parse_address(place.url), keys) as gateway:
        return await gateway.call(command, keys.of("default", (name,))[0], *args)


async def fill(place: Place, count: int = 3) -> None:
    async with place.client() as client:
        await client.enqueue_many(
            [rediq.Task("t", {"text": LONG}, id=f"t{n}") for n in range(count)]
        )


async def damage(place: Place) -> None:
    """Plant one damage that can be repaired, and one that cannot."""
    await fill(place)
    await raw(place, "ZREM", "pending", "t0")
    await raw(place, "HDEL", "payloads", "t1")


def check(place: Place, *arguments: str) -> tuple[int, str]:
    found = cli_call("check", *arguments, *place.flags)
    assert found.stderr == ""
    return found.returncode, found.stdout


async def test_a_sound_queue_is_status_0(cli_place: Place) -> None:
    await fill(cli_place)
    assert check(cli_place, "default") == (0, "default: every invariant holds\n")
    assert check(cli_place, "--all", "--repair", "--yes")[0] == 0


async def test_where_no_queue_was_ever_used_all_are_sound(cli_place: Place) -> None:
    assert check(cli_place, "--all") == (0, "no queue was ever used here\n")


async def test_violations_are_status_1_and_told_by_invariant_with_what_they_mean(
    cli_place: Place,
) -> None:
    await damage(cli_place)
    status, said = check(cli_place, "default")
    assert status == 1
    assert f"invariant 1: {MEANINGS[1]}\n    t0: is pending, and is in the indexes of []" in said
    assert f"invariant 2: {MEANINGS[2]}" in said
    assert "    t1: has lost its payload" in said
    assert "1 can be repaired without guessing: see --repair" in said


async def test_json_says_the_same_to_programs(cli_place: Place) -> None:
    await damage(cli_place)
    status, said = check(cli_place, "default", "--json")
    document = json.loads(said)
    assert (status, document["rediq"], document["version"]) == (1, 1, 1)
    assert (document["sound"], said.count("\n")) == (False, 1)
    [queue] = document["queues"]
    assert queue.keys() == {"queue", "sound", "violations", "plan", "made", "left"}
    assert {
        "invariant": 1,
        "queue": "default",
        "about": "task",
        "kind": "task",
        "subject": "t0",
        "detail": "is pending, and is in the indexes of []",
        "repairable": True,
    } in queue["violations"]
    assert (queue["made"], queue["left"]) == (None, None)
    [repair] = queue["plan"]
    assert repair == {
        "what": "list",
        "queue": "default",
        "about": "task",
        "kind": "task",
        "subject": "t0",
        "before": "pending, in no index",
        "after": "in the index of pending",
        "why": "the record says it, and an index only follows from records",
    }


async def test_json_says_what_a_subject_is_in_the_words_of_the_docs(cli_place: Place) -> None:
    await fill(cli_place)
    await raw(cli_place, "ZADD", "keyed", 0, b"\x01k" + b"0" * 16 + b"nobody")
    await raw(cli_place, "ZADD", "needs", 0, b"\x04gonet0")
    [queue] = json.loads(check(cli_place, "default", "--json")[1])["queues"]
    said = {
        (one["about"], one["kind"], one["subject"]): one["detail"] for one in queue["violations"]
    }
    assert said.keys() >= {
        ("index member", "index member", "nobody"),
        ("dependency", "dependency", "t0 -> gone"),
    }
    assert said["dependency", "dependency", "t0 -> gone"] == (
        "`needs` still lists t0 for gone, which no longer exists"
    )
    assert {one["what"]: one["about"] for one in queue["plan"]}["reindex"] == "index member"


async def test_without_a_terminal_and_yes_repairs_are_only_shown(cli_place: Place) -> None:
    await damage(cli_place)
    status, said = check(cli_place, "default", "--repair")
    assert status == 1
    assert "list task t0: pending, in no index -> in the index of pending" in said
    assert f"not repaired, invariant 2: {ADVICE[2]}" in said
    assert said.endswith("nothing was changed: --yes makes these repairs\n")
    assert check(cli_place, "default", "--repair", "--yes", "--dry-run") == (status, said)
    assert await raw(cli_place, "ZCARD", "pending") == 2


async def test_repairs_are_made_and_the_queue_is_checked_again(cli_place: Place) -> None:
    await fill(cli_place)
    await raw(cli_place, "ZREM", "pending", "t0")
    await raw(cli_place, "HINCRBY", "meta", "enqueued", 5)
    status, said = check(cli_place, "default", "--repair", "--yes")
    assert status == 0
    assert "default: 2 repairs made; checked again:\ndefault: every invariant holds" in said
    assert await raw(cli_place, "ZCARD", "pending") == 3


async def test_what_is_left_behind_repairs_is_status_1(cli_place: Place) -> None:
    await damage(cli_place)
    status, said = check(cli_place, "default", "--repair", "--yes", "--json")
    [queue] = json.loads(said)["queues"]
    assert status == 1
    assert [one["what"] for one in queue["made"]] == ["list"]
    assert {(one["invariant"], one["subject"]) for one in queue["left"]} == {(2, "t1")}


def asked(place: Place, answer: bytes) -> tuple[int, str]:
    """Check with --repair at a terminal, where a person answers."""
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "rediq_trio", "check", "default", "--repair", *place.flags]
    child = subprocess.Popen(
        command, cwd=HERE, env=cli_environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )  # fmt: skip
    os.close(theirs)
    os.write(mine, answer)
    said = child.communicate(timeout=60)[0].decode()
    os.close(mine)
    return child.returncode, said


@pytest.mark.parametrize(("answer", "repaired"), [(b"y\n", True), (b"n\n", False), (b"\n", False)])
async def test_a_person_is_asked(cli_place: Place, answer: bytes, repaired: bool) -> None:
    await fill(cli_place)
    await raw(cli_place, "ZREM", "pending", "t0")
    status, said = asked(cli_place, answer)
    assert "Make 1 repair? [y/N]" in said
    assert ("nothing was changed" in said) is not repaired
    assert status == (0 if repaired else 1)
    assert await raw(cli_place, "ZCARD", "pending") == (3 if repaired else 2)


async def test_a_long_check_shows_how_far_it_has_come(cli_place: Place) -> None:
    await fill(cli_place, 5_000)
    status, said = check(cli_place, "default")
    assert status == 0
    assert "default: 5,000 of 5,000\n" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name queues, or give --all"),
        (("a", "--all"), "and not both"),
        (("a b",), "QUEUE='a b'"),
        (("--all", "--yes"), "--yes and --dry-run are about what --repair asks"),
        (("--all", "--key-prefix", "{"), "key_prefix='{'"),
        (("--all", "--url", "memory://"), "what is in memory:// ends with its process"),
    ],
)
def test_what_cannot_be_checked_is_status_2(
    cli_place: Place, arguments: tuple[str, ...], said: str
) -> None:
    found = cli_call("check", *arguments, REDIQ_URL=cli_place.url)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr
    assert found.stderr.count("\n") == 1


async def test_what_is_not_there_is_status_3_and_a_server_that_is_away_1(cli_place: Place) -> None:
    await fill(cli_place)
    found = cli_call("check", "defalt", *cli_place.flags)
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr == "rediq: there is no queue defalt; did you mean default?\n"
    found = cli_call("check", "--all", "--url", "unix:///no/such/socket")
    assert (found.returncode, "cannot connect" in found.stderr) == (1, True)


def test_every_invariant_has_its_words() -> None:
    assert [*MEANINGS] == [*ADVICE] == [*range(1, 14)]
