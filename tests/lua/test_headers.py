"""The header of each script says what the script does, and Lua's constants are Python's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rediq_trio.spec.lifecycle import TRANSITIONS, Event, State
from rediq_trio.spec.records import CANCELLED_GRACE_MS, PRIORITY_SPAN
from rediq_trio.store.codec import CODE_OF, RECORD_FIELDS
from rediq_trio.store.keys import HASHES, INDEX_OF, QUEUE_KEYS
from rediq_trio.store.scripts import Script, load_scripts, lua_folder, parse_header

SCRIPTS = load_scripts()
FOLDER = lua_folder()
every_script = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)

Edges = set[tuple[State | None, State | None]]


def body(script: Script) -> str:
    """Give the script's own code, without its header and what it includes."""
    lines = (FOLDER / f"{script.name}.lua").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def snippets(script: Script) -> list[str]:
    return script.sections.get("INCLUDE", "").split()


def numbered(script: Script, section: str) -> list[int]:
    """Give the numbers of what a section declares: each stands behind two spaces or more."""
    found: list[int] = []
    current = ""
    for line in (FOLDER / f"{script.name}.lua").read_text("utf-8").splitlines():
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
    path = FOLDER / f"{script.name}.lua"
    assert path.read_text("utf-8").startswith(f"-- {path.stem}: ")
    assert script.summary.endswith(".")


def test_the_edges_of_all_scripts_are_those_of_the_state_machine() -> None:
    found = {name: edges_of(script.edges) for name, script in SCRIPTS.items()}
    assert {name: edges for name, edges in found.items() if edges} == {
        event.value: set(edges) for event, edges in TRANSITIONS.items()
    }


def test_each_event_has_its_script() -> None:
    assert {event.value for event in Event} <= set(SCRIPTS)


@every_script
def test_every_section_is_there(script: Script) -> None:
    assert {"KEYS", "ARGV", "RETURNS"} <= set(script.sections)


@every_script
def test_the_keys_that_are_declared_are_those_that_are_used(script: Script) -> None:
    code = body(script)
    used = {int(n) for n in re.findall(r"KEYS\[(\d+)\]", code)}
    for low, high in re.findall(r"for n = (\d+), (\d+) do .*KEYS\[n\]", code):
        used |= set(range(int(low), int(high) + 1))
    if script.keys[0] == "records":
        used |= {1, 2}  # every script of a queue begins with these, for the snippets
    assert sorted(used) == numbered(script, "KEYS") == list(range(1, len(script.keys) + 1))


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
    words = {"two": 2, "three": 3, "four": 4, "six": 6}
    said = re.search(r"(two|three|four|six) per", script.sections["ARGV"])
    loops = re.findall(r"for i = \d+, #ARGV, (\d+) do", body(script))
    assert {int(step) for step in loops} == ({words[said[1]]} if said else set())


@every_script
def test_what_a_script_includes_exists_and_comes_in_order(script: Script) -> None:
    order = ["clock", "record", "fence", "finish", "requeue", "due"]
    assert snippets(script) == sorted(snippets(script), key=order.index)
    for snippet in snippets(script):
        assert (FOLDER / "include" / f"{snippet}.lua").is_file()


def test_every_snippet_is_included_by_some_script() -> None:
    included = {snippet for script in SCRIPTS.values() for snippet in snippets(script)}
    assert included == {path.stem for path in (FOLDER / "include").glob("*.lua")}


@every_script
def test_a_script_names_keys_of_a_queue_or_of_the_workers(script: Script) -> None:
    names = [key for key in script.keys if key != "index"]
    if script.name in ("beat", "leave", "roster"):
        assert names == ["workers", "alive"]
    else:
        assert set(names) <= set(QUEUE_KEYS)
        assert names[:2] == ["records", "meta"]
    assert len(set(script.keys)) == len(script.keys)


@every_script
def test_a_script_has_lines_of_100_characters_at_most(script: Script) -> None:
    text = (FOLDER / f"{script.name}.lua").read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert text.endswith("\n")


def constants(path: Path) -> dict[str, int]:
    """Read `local A, B = 1, 2` and `local A = 1`."""
    found: dict[str, int] = {}
    for names, values in re.findall(
        r"^local ([A-Z_, ]+) = ([\d, ]+)$", path.read_text("utf-8"), re.M
    ):
        found |= zip(names.split(", "), map(int, values.split(", ")), strict=True)
    return found


def test_the_fields_and_codes_of_a_record_are_pythons() -> None:
    found = constants(FOLDER / "include" / "record.lua")
    fields = {f.removesuffix("_ms").upper(): at for at, f in enumerate(RECORD_FIELDS, start=1)}
    indexed = {state.name: CODE_OF[state] for state in INDEX_OF}
    # RETRY is a state; MAX_RETRY the field: no name stands for both.
    assert not fields.keys() & indexed.keys()
    assert found == fields | indexed | {"SPAN": PRIORITY_SPAN}


def test_the_text_fields_of_a_record_are_pythons() -> None:
    text = (FOLDER / "include" / "record.lua").read_text("utf-8")
    assert "KINDS[NONCE], KINDS[WORKER], KINDS[ERROR] = 'string', 'string', 'string'" in text


def test_the_grace_is_pythons() -> None:
    assert constants(FOLDER / "include" / "finish.lua") == {"GRACE": CANCELLED_GRACE_MS}


def test_the_highest_place_is_counted_exactly_by_a_double() -> None:
    assert 101 * PRIORITY_SPAN <= 2**53


@pytest.mark.parametrize("name", ["inspect", "delete", "flush"])
def test_what_removes_or_reads_a_whole_task_knows_every_key_that_can_hold_it(name: str) -> None:
    expected = {*HASHES, "meta", "expiring", *INDEX_OF.values()}
    if name == "delete":
        expected -= {"active"}
    assert set(SCRIPTS[name].keys) == expected


def test_the_readme_names_every_key() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    for key in QUEUE_KEYS:
        assert f"`{key}`" in readme


def test_a_header_is_read_section_by_section() -> None:
    name, edges, summary, sections = parse_header(
        "-- verb: a -> b\n-- Says this\n-- and that.\n"
        "-- KEYS     1 x\n--          2 y\n-- RETURNS  1\ncode\n-- no"
    )
    assert (name, edges, summary) == ("verb", "a -> b", "Says this and that.")
    assert sections == {"KEYS": "1 x 2 y", "RETURNS": "1"}
