"""The header of each script says what the script does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from rediq_trio._errors import ConfigError
from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import Outcome
from rediq_trio.spec.settle import PLAIN_OUTCOMES, TRANSITION_OF
from rediq_trio.spec.stored_format import RECORD_FIELDS
from rediq_trio.store.redis.keys import HASHES, INDEX_OF, QUEUE_KEYS, STATISTICS_KEYS
from rediq_trio.store.redis.scripts import (
    ALL_KEYS,
    Script,
    load_scripts,
    lua_folder,
    parse_header,
    script_paths,
)

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
    return [script for script in SCRIPTS.values() if script.sections["KEYS"] in ALL_KEYS]


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
    # What comes with no argument needs no word about it.
    for transition in TRANSITION_OF.values() - PLAIN_OUTCOMES.keys():
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
    if script.sections["KEYS"] in ALL_KEYS:
        assert "keys" in snippets(script)
        assert not used
        return
    assert "keys" not in snippets(script)
    if script.keys[0] == "records":
        used |= {1, 2}  # every script of a queue begins with these, for the snippets
    if "workflow" in snippets(script):
        used |= {1, 2, 3, 4}  # the snippet names all of them
    assert sorted(used) == numbered(script, "KEYS") == list(range(1, len(script.keys) + 1))


def test_all_keys_are_named_in_the_order_in_which_they_are_sent() -> None:
    names = re.search(r"^local ([a-z, \n]+) = unpack\(KEYS\)$", included("keys"), re.MULTILINE)
    assert names is not None
    assert tuple(re.findall(r"[a-z]+", names[1])) == QUEUE_KEYS
    assert all(script.keys[: len(QUEUE_KEYS)] == QUEUE_KEYS for script in all_keys())


def test_a_script_that_writes_history_declares_no_key_after_it() -> None:
    with_statistics = [script for script in all_keys() if script.keys != QUEUE_KEYS]
    assert [script.name for script in with_statistics] == ["remove_queue"]
    assert all(script.keys == (*QUEUE_KEYS, *STATISTICS_KEYS) for script in with_statistics)
    assert not any("history" in snippets(script) for script in with_statistics)


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


ORDER = re.findall(r"^\| `(\w+)` \| ", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
"""The order of the snippets, as the README has it: each uses only those before it."""


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
    assert included == {path.stem for path in (FOLDER / "include").glob("*.lua")} == {*ORDER}


def test_a_script_that_moves_tasks_ends_them_with_conclude() -> None:
    for script in all_keys():
        moves = words(body(script)) & {
            "ready", "later", "block", "group_in", "bury", "make_cancelled", "announce", "send",
            "enqueue_promised", "subscribe", "resolve", "insert", "propagate",
        }  # fmt: skip
        assert bool(moves) == ("conclude" in words(body(script))), script.name


@every_script
def test_a_script_names_keys_of_a_queue_or_of_the_workers_a_logbook_or_workflows(
    script: Script,
) -> None:
    names = [key for key in script.keys if key != "index"]
    if script.name in ("register", "unregister", "workers", "order"):
        assert set(names) <= {"workers", "alive", "orders"}
    elif script.name.endswith(("_workflow", "_workflows")):
        assert set(names) <= {"workflows", "order", "checks", "totals"}
    elif script.name == "log":
        assert names == ["logbook"]
    elif script.name == "note_size":
        assert names == ["sizes", "used"]
    elif script.name in ("statistics", "tally", "trim", "types"):
        assert set(names) <= {"meta", *STATISTICS_KEYS}
    else:
        assert set(names) <= {*QUEUE_KEYS, *STATISTICS_KEYS}
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


def test_what_a_record_is_checked_for_are_all_its_fields() -> None:
    text = included("record")
    spans = re.findall(r"for n = (\w+), (\w+) do _ = record\[n\] < 0 end", text)
    texts = re.findall(r"_ = record\[(\w+)\] < ''", text)
    at = {name.removesuffix("_ms").upper(): n for n, name in enumerate(RECORD_FIELDS)}
    numbers = [n for first, last in spans for n in range(at[first], at[last] + 1)]
    assert {*texts} == {"ENVELOPE", "NONCE", "WORKER", "ERROR"}
    # Each once; the state is looked at before.
    assert sorted([*numbers, *(at[name] for name in texts)]) == [*range(1, len(RECORD_FIELDS))]
    assert "(n == UNIQUE or n == LIMIT_KEY or n == GROUP) and 'string' or 'number'" in text


KEPT = {"meta", "limits", "rates", "outbox", "received", "schedules", "ticks", "history"}
"""What a flush leaves: totals, limits, schedules, and what concerns other queues."""


def test_a_flush_forgets_every_key_but_those_that_outlive_the_tasks() -> None:
    text = (FOLDER / "operate" / "flush.lua").read_text("utf-8")
    gone = re.search(r"'UNLINK', ([a-z,\s]+)\)", text)
    assert gone is not None
    assert words(gone[1]) == set(QUEUE_KEYS) - KEPT


def test_what_reads_a_whole_task_knows_every_key_that_can_hold_it() -> None:
    assert {*HASHES} <= words(included("contents"))
    assert {*HASHES, "expiring", *INDEX_OF.values(), "keyed"} <= words(
        body(SCRIPTS["inspect_tasks"])
    )


def test_what_removes_a_task_knows_every_key_that_can_hold_it() -> None:
    assert {*HASHES, "needs"} <= words(included("terminal"))
    assert {"expiring", *INDEX_OF.values(), "keyed"} <= words(included("indexes"))


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
