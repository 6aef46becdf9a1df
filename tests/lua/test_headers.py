"""The header of each script says what the script does, and Lua's constants are Python's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import attrs
import pytest

from rediq_trio._errors import ConfigError
from rediq_trio.spec.change import ENDED_AS, NIL
from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import AnswerKind, MailKind, NewTask, Outcome, Relations, Until
from rediq_trio.spec.records import CANCELLED_GRACE_MS, PRIORITY_SPAN, PROPAGATED_AT_ONCE
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.spec.upkeep import ENDINGS
from rediq_trio.store.redis.codec import (
    CODE_OF,
    MARKS,
    RECORD_FIELDS,
    RELATION_FIELDS,
    pack_options,
)
from rediq_trio.store.redis.keys import HASHES, INDEX_OF, QUEUE_KEYS
from rediq_trio.store.redis.record_format import FORMAT, FORMAT_STEP
from rediq_trio.store.redis.scripts import (
    Script,
    load_scripts,
    lua_folder,
    parse_header,
    script_paths,
)
from rediq_trio.wire.packing import unpack

SCRIPTS = load_scripts()
FOLDER = lua_folder()
PATHS = script_paths(FOLDER)
every_script = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)

Edges = set[tuple[State | None, State | None]]


def body(script: Script) -> str:
    """Give the script's own code, without its header and what it includes."""
    lines = PATHS[script.name].read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def included(name: str) -> str:
    """Give the text of a snippet."""
    return (FOLDER / "include" / f"{name}.lua").read_text("utf-8")


def words(text: str) -> set[str]:
    """Give the names in a piece of Lua: neither comments nor texts."""
    return set(re.findall(r"[a-zA-Z_]+", re.sub(r"--.*|'[^']*'", "", text)))


def all_keys() -> list[Script]:
    """Give the scripts that may touch every key."""
    return [script for script in SCRIPTS.values() if script.sections["KEYS"] == "all"]


def snippets(script: Script) -> list[str]:
    return script.sections.get("INCLUDE", "").split()


def numbered(script: Script, section: str) -> list[int]:
    """Give the numbers of what a section declares: each stands behind two spaces or more."""
    found: list[int] = []
    current = ""
    for line in PATHS[script.name].read_text("utf-8").splitlines():
        if not line.startswith("--"):
            break
        if head := re.match(r"-- ([A-Z]+) ", line):
            current = head[1]
        if current == section:
            found += [int(n) for n in re.findall(r" {2,}(\d+) [a-z\']", line)]
    return found


def edges_of(header: str) -> Edges:
    """Read `a, b -> c; d -> e` as edges; `-` is no task, `no edge` none."""
    found: Edges = set()
    if header == "no edge":
        return found
    for part in header.split("; "):
        sources, targets = part.split(" -> ")
        for source in sources.split(", "):
            found |= {(_state(source), _state(target)) for target in targets.split(", ")}
    return found


def _state(word: str) -> State | None:
    return None if word == "-" else State(word)


@every_script
def test_the_first_line_names_the_script(script: Script) -> None:
    path = PATHS[script.name]
    assert path.read_text("utf-8").startswith(f"-- {path.stem}: ")
    assert script.summary.endswith(".")


def test_the_edges_of_all_scripts_are_those_of_the_state_machine() -> None:
    found = {name: edges_of(script.edges) for name, script in SCRIPTS.items()}
    expected: dict[str, Edges] = {}
    for transition, edges in TRANSITIONS.items():
        expected.setdefault(script_of(transition), set()).update(edges)
    assert {name: edges for name, edges in found.items() if edges} == expected


def script_of(transition: Transition) -> str:
    """Return the script that makes a transition: its own, or the one that settles any outcome."""
    return "settle" if transition in TRANSITION_OF.values() else transition.value


def test_each_transition_is_made_by_one_script() -> None:
    assert {script_of(transition) for transition in Transition} <= set(SCRIPTS)
    assert not {transition.value for transition in TRANSITION_OF.values()} & set(SCRIPTS)


def test_each_outcome_has_a_branch_in_the_script_that_settles() -> None:
    assert {*TRANSITION_OF} == {*get_args(Outcome)}
    header, code = SCRIPTS["settle"].sections["ARGV"], body(SCRIPTS["settle"])
    for transition in TRANSITION_OF.values():
        assert re.search(rf"\b{transition}\b", header)
    # The last one is what is left when it is none of the others.
    compared = {*re.findall(r"transition [=~]= '(\w+)'", code)}
    assert compared | {"release"} == {transition.value for transition in TRANSITION_OF.values()}


@every_script
def test_every_section_is_there(script: Script) -> None:
    assert {"KEYS", "ARGV", "RETURNS"} <= set(script.sections)


@every_script
def test_the_keys_that_are_declared_are_those_that_are_used(script: Script) -> None:
    used = {int(n) for n in re.findall(r"KEYS\[(\d+)\]", body(script))}
    if script.sections["KEYS"] == "all":
        assert "keys" in snippets(script)
        assert not used
        return
    assert "keys" not in snippets(script)
    if script.keys[0] == "records":
        used |= {1, 2}  # every script of a queue begins with these, for the snippets
    assert sorted(used) == numbered(script, "KEYS") == list(range(1, len(script.keys) + 1))


def test_all_keys_are_named_in_the_order_in_which_they_are_sent() -> None:
    names = re.search(r"^local ([a-z, \n]+) = unpack\(KEYS\)$", included("keys"), re.MULTILINE)
    assert names is not None
    assert tuple(re.findall(r"[a-z]+", names[1])) == QUEUE_KEYS
    assert all(script.keys == QUEUE_KEYS for script in all_keys())


def test_the_history_is_the_last_key_as_its_snippet_has_it() -> None:
    assert QUEUE_KEYS[1] == "meta"
    assert QUEUE_KEYS[-1] == "history"
    assert "'XADD', KEYS[#KEYS]," in included("history")


def test_every_key_is_used_by_some_script() -> None:
    used: set[str] = set()
    for script in all_keys():
        parts = [included(snippet) for snippet in snippets(script) if snippet != "keys"]
        used |= words("\n".join([*parts, body(script)]))
    assert set(QUEUE_KEYS) - used == set()


@every_script
def test_the_arguments_that_are_declared_are_those_that_are_used(script: Script) -> None:
    code = body(script)
    used = {int(n) for n in re.findall(r"ARGV\[(\d+)\]", code)}
    assert sorted(used) == numbered(script, "ARGV")
    loop = re.search(r"for i = (\d+), #ARGV", code)
    several = re.search(r"\bper\b|\bids\b", script.sections["ARGV"])
    assert bool(loop) == bool(several)


@every_script
def test_repeated_arguments_are_as_many_as_declared(script: Script) -> None:
    counts = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
    said = re.search(rf"({'|'.join(counts)}) per", script.sections["ARGV"])
    loops = re.findall(r"for i = \d+, #ARGV, (\d+) do", body(script))
    assert {int(step) for step in loops} == ({counts[said[1]]} if said else set())


ORDER = (
    "clock", "keys", "record", "history", "lanes", "indexes", "terminal", "propagate", "intake",
    "schedule", "created_id", "fence", "due", "wake_on_slot", "queue_entry", "index_position",
    "unresolved", "active_by_key",
)  # fmt: skip
"""The order of the snippets: each uses only what is in front of it."""


@every_script
def test_what_a_script_includes_exists_and_comes_in_order(script: Script) -> None:
    assert snippets(script) == sorted(snippets(script), key=ORDER.index)
    for snippet in snippets(script):
        assert (FOLDER / "include" / f"{snippet}.lua").is_file()


@every_script
def test_what_may_move_tasks_can_note_it(script: Script) -> None:
    # Where a snippet is missing, Redis refuses its names as globals, and only once they are used.
    if {"indexes", "propagate"} & set(snippets(script)):
        assert "history" in snippets(script)


def test_every_snippet_is_included_by_some_script() -> None:
    included = {snippet for script in SCRIPTS.values() for snippet in snippets(script)}
    assert included == {path.stem for path in (FOLDER / "include").glob("*.lua")}


def test_a_script_that_moves_tasks_ends_them_with_conclude() -> None:
    for script in all_keys():
        moves = words(body(script)) & {
            "ready", "later", "block", "group_in", "bury", "make_cancelled", "announce", "send",
            "enqueue_promised", "subscribe", "resolve", "insert", "propagate",
        }  # fmt: skip
        assert bool(moves) == ("conclude" in words(body(script))), script.name


@every_script
def test_a_script_names_keys_of_a_queue_or_of_the_workers(script: Script) -> None:
    names = [key for key in script.keys if key != "index"]
    if script.name in ("register", "unregister", "workers"):
        assert names == ["workers", "alive"]
    else:
        assert set(names) <= set(QUEUE_KEYS)
        assert names[:2] == ["records", "meta"]
    assert len(set(script.keys)) == len(script.keys)


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.lua")), ids=lambda path: str(path.relative_to(FOLDER))
)
def test_a_script_has_lines_of_100_characters_at_most(path: Path) -> None:
    text = path.read_text("utf-8")
    first, *lines = text.splitlines()
    # The edges are one line, however many there are.
    assert max(map(len, lines if ": " in first else [first, *lines])) <= 100
    assert text.endswith("\n")


def constants(snippet: str) -> dict[str, int]:
    """Read `local A, B = 1, 2` and `local A = 1`."""
    found: dict[str, int] = {}
    for names, values in re.findall(r"^local ([A-Z_, ]+) = ([\d, ]+)$", included(snippet), re.M):
        pairs = dict(zip(names.split(", "), map(int, values.split(", ")), strict=True))
        assert not found.keys() & pairs.keys()
        found |= pairs
    return found


def places(fields: tuple[str, ...]) -> dict[str, int]:
    """Give the place of each field of an array, by its name in Lua."""
    return {field.removesuffix("_ms").upper(): at for at, field in enumerate(fields, start=1)}


def test_the_fields_and_codes_of_a_record_are_pythons() -> None:
    expected = [
        places((*RECORD_FIELDS, "relations")),
        places(RELATION_FIELDS),
        {mark.upper(): bit for mark, bit in MARKS.items()},
        {state.name: CODE_OF[state] for state in INDEX_OF},
        {"SPAN": PRIORITY_SPAN, "FORMAT": FORMAT, "FORMAT_STEP": FORMAT_STEP},
    ]
    # RETRY is a state; MAX_RETRY the field: no name stands for two things.
    names = [name for each in expected for name in each]
    assert len(set(names)) == len(names)
    assert constants("record") == {name: n for each in expected for name, n in each.items()}


def test_the_text_fields_of_a_record_are_pythons() -> None:
    text = included("record")
    spans = re.findall(r"for n = (\w+), (\w+) do _ = record\[n\] < 0 end", text)
    texts = re.findall(r"_ = record\[(\w+)\] < ''", text)
    place = {name: n - 1 for name, n in constants("record").items()}
    numbers = [n for first, last in spans for n in range(place[first], place[last] + 1)]
    assert [place[name] for name in texts] == [
        place[name] for name in ("ENVELOPE", "NONCE", "WORKER", "ERROR")
    ]
    # Each once; the state is looked at before.
    assert sorted([*numbers, *(place[name] for name in texts)]) == [*range(1, len(RECORD_FIELDS))]
    assert "(n == UNIQUE or n == LIMIT_KEY or n == GROUP) and 'string' or 'number'" in text


def test_the_grace_and_the_ends_of_a_window_are_pythons() -> None:
    named = {"DONE": Until.DONE, "STARTED_ONCE": Until.STARTED, "BY_TIME": Until.EXPIRED}
    # What ends by DONE needs no name: it is what happens otherwise.
    assert constants("terminal") == {"GRACE": CANCELLED_GRACE_MS} | {
        name: int(until) for name, until in named.items() if name != "DONE"
    }


def test_the_kinds_of_mail_and_how_many_are_told_at_once_are_pythons() -> None:
    kinds = {kind.name: int(kind) for kind in MailKind}
    assert (
        constants("propagate") == {"PROPAGATED_AT_ONCE": PROPAGATED_AT_ONCE, "UNKNOWN": 255} | kinds
    )
    assert f"NIL = '\\{NIL[0]}'" in included("propagate")
    assert f"'ZRANGE', endings, 0, {ENDINGS - 1})" in body(SCRIPTS["unblock"])


def test_the_words_for_how_a_task_ended_are_pythons() -> None:
    text = included("propagate")
    for state, said in ENDED_AS.items():
        assert f"[{state.name if state else 0}] = '{said}'" in text


def test_the_kinds_of_answers_and_the_options_of_a_task_are_pythons() -> None:
    renamed = {
        "queue": "TO", "unique": "KEY", "until": "ENDS", "replace": "REPLACE",
        "limit_key": "TO_LIMIT", "group": "TO_GROUP", "run_on_dependency_failure": "TO_RUN_ON_FAILURE",
    }  # fmt: skip
    fields = tuple(renamed.get(field.name, field.name) for field in attrs.fields(Relations))
    kinds = {kind.name: int(kind) for kind in AnswerKind}
    assert constants("intake") == places(fields) | kinds


def test_the_ties_of_a_task_are_packed_in_the_order_of_their_fields() -> None:
    relations = Relations(
        queue="q", unique="u", until=Until.EXPIRED, ttl_ms=4, replace=True, limit_key="l",
        group="g", run_on_dependency_failure=True, needs=("a", "o/b"), needs_later=("c",), dependents=("d",),
    )  # fmt: skip
    assert [field.name for field in attrs.fields(Relations)] == list(attrs.asdict(relations))
    assert unpack(pack_options(NewTask("t", b"", 1, 2, 3, 4, 5, 6, 7, 8, relations))) == [
        1, 2, 3, 4, 5, 6, 7, 8, ["q", "u", 3, 4, 1, "l", "g", 1, ["a", "o/b"], ["c"], ["d"]],
    ]  # fmt: skip


def test_the_highest_place_is_counted_exactly_by_a_double() -> None:
    assert 101 * PRIORITY_SPAN <= 2**53


KEPT = {"meta", "limits", "rates", "outbox", "received", "schedules", "ticks", "history"}
"""What a flush leaves: totals, limits, schedules, and what concerns other queues."""


def test_a_flush_forgets_every_key_but_those_that_outlive_the_tasks() -> None:
    text = (FOLDER / "flush.lua").read_text("utf-8")
    gone = re.search(r"'UNLINK', ([a-z,\s]+)\)", text)
    assert gone is not None
    assert words(gone[1]) == set(QUEUE_KEYS) - KEPT


def test_what_reads_a_whole_task_knows_every_key_that_can_hold_it() -> None:
    assert {*HASHES} <= words(body(SCRIPTS["inspect"]))
    assert {*HASHES, "expiring", *INDEX_OF.values(), "keyed"} <= words(
        body(SCRIPTS["inspect_tasks"])
    )


def test_what_removes_a_task_knows_every_key_that_can_hold_it() -> None:
    assert {*HASHES, "needs"} <= words(included("terminal"))
    assert {"expiring", *INDEX_OF.values(), "keyed"} <= words(included("indexes"))


def test_the_readme_names_every_key() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    for key in QUEUE_KEYS:
        assert f"`{key}`" in readme


def test_a_script_may_be_in_a_folder_below_and_shares_the_snippets(tmp_path: Path) -> None:
    for name, text in (
        ("one", "-- one: no edge\n-- INCLUDE  few\nreturn 1\n"),
        ("below/two", "-- two: no edge\n-- INCLUDE  few\nreturn 2\n"),
        ("include/few", "local few = 'few'\n"),
    ):
        path = tmp_path / f"{name}.lua"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    found = load_scripts(tmp_path)
    assert [*found] == ["one", "two"]
    assert all(script.source.startswith("local few = 'few'\n") for script in found.values())


def test_two_scripts_of_one_name_are_an_error(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.lua").write_text("-- same: no edge\n", "utf-8")
    with pytest.raises(
        ConfigError, match=r"two Lua scripts are named same: \S*a.same\.lua and \S*b.same"
    ):
        load_scripts(tmp_path)


def test_a_header_is_read_section_by_section() -> None:
    name, edges, summary, sections = parse_header(
        "-- verb: a -> b\n-- Says this\n-- and that.\n"
        "-- KEYS     1 x\n--          2 y\n-- RETURNS  1\ncode\n-- no"
    )
    assert (name, edges, summary) == ("verb", "a -> b", "Says this and that.")
    assert sections == {"KEYS": "1 x 2 y", "RETURNS": "1"}
