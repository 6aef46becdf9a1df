"""What both languages know is written once, in Python, and the scripts' constants are made from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import PRIORITY_SPAN
from rediq_trio.store.redis.prelude import CONSTANTS, PRELUDE, Constants, literal, rendered
from rediq_trio.store.redis.scripts import inlined, load_scripts, lua_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the scripts, to be changed."""
    return Path(shutil.copytree(lua_folder(), tmp_path / "lua"))


def change(folder: Path, script: str, old: str, new: str) -> None:
    path = folder / f"{script}.lua"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def test_no_constant_is_left_in_what_is_sent() -> None:
    for script in load_scripts().values():
        words = re.findall(r"'(?:\\.|[^'\\])*'|(?<![.:\w])[A-Z][A-Z_]+\b", script.source)
        left = {word for word in words if not word.startswith("'")} - {"KEYS", "ARGV"}
        assert left == {word for word in left if f"local {word} = '" in script.source}, script.name


def test_every_constant_is_used_but_those_of_an_order() -> None:
    text = "".join(path.read_text("utf-8") for path in lua_folder().rglob("*.lua"))
    for constants in PRELUDE:
        used = [name for name in constants.values if re.search(rf"\b{name}\b", text)]
        whole = constants.source.endswith("FIELDS") or constants.source.endswith("Kind")
        assert used == [*constants.values] or (whole and used), constants.source


def test_a_name_stands_for_one_thing() -> None:
    twice = Constants("spec.elsewhere", {"RUN": 1})
    with pytest.raises(
        ValueError, match=r"two constants of Lua are named RUN: rename that of spec\.elsewhere"
    ):
        rendered([*PRELUDE, twice])


def test_what_changes_in_python_changes_the_scripts() -> None:
    [fields] = [each for each in PRELUDE if each.source == "spec.stored_format.RECORD_FIELDS"]
    moved = attrs.evolve(fields, values={**fields.values, "STATE": 2, "PRIORITY": 1})
    others = [each for each in PRELUDE if each is not fields]
    text = "return record[STATE] .. record[PRIORITY]"
    parts = (("some.lua", text),)
    assert inlined(parts) == "return record[1] .. record[2]"
    assert inlined(parts, rendered([moved, *others])) == "return record[2] .. record[1]"


@pytest.mark.parametrize(
    "line",
    [
        "local STATE = 1",
        "local OTHER, STATE = 2000, 1",
        "STATE = 2",
        "local function of(STATE) return STATE end",
        "for STATE = 1, 9 do end",
        "local codes = {STATE = 1}",
    ],
)
@pytest.mark.parametrize("script", ["include/record", "upkeep/purge"])
def test_a_constant_of_python_that_lua_defines_is_refused(
    folder: Path, script: str, line: str
) -> None:
    path = folder / f"{script}.lua"
    path.write_text(f"{path.read_text('utf-8')}{line}\n", "utf-8")
    source = "rediq_trio.spec.stored_format.RECORD_FIELDS"
    said = (
        rf"lua/{script}\.lua, line \d+: 'STATE' is .* by 1, which is made from {re.escape(source)},"
    )
    with pytest.raises(ValueError, match=said):
        load_scripts(folder)


def test_a_constant_that_nothing_defines_is_refused(folder: Path) -> None:
    change(
        folder,
        "include/terminal",
        "record[STATE], record[FINISHED] =",
        "record[STATUS], record[FINISHED] =",
    )
    said = r"lua/include/terminal\.lua, line \d+: nothing defines the constant 'STATUS'"
    with pytest.raises(ValueError, match=said):
        load_scripts(folder)


def test_a_comment_or_a_text_may_name_a_constant(folder: Path) -> None:
    harmless = "-- STATE = 1, and local PRIORITY\nlocal texts = {'STATE = 1'}\n"
    change(folder, "include/lanes", "local NEVER", harmless + "local NEVER")
    assert "local texts = {'STATE = 1'}" in load_scripts(folder)["claim"].source


def test_values_are_written_as_lua_reads_them() -> None:
    assert literal("it's \\ '") == r"'it\039s \092 \039'"
    assert literal(b"\xc01\x00") == r"'\1921\000'"
    assert literal([1, "a"]) == "{1, 'a'}"
    assert literal({7: "b", 0: "a"}) == "{[0] = 'a', [7] = 'b'}"
    assert CONSTANTS["PENDING"] == str([*State].index(State.PENDING) + 1)
    assert CONSTANTS["PRIORITY_SPAN"] == str(PRIORITY_SPAN)


def test_a_double_counts_the_highest_score_exactly() -> None:
    assert 101 * PRIORITY_SPAN <= 2**53


def test_a_script_has_the_same_hash_in_every_process() -> None:
    code = (
        "from rediq_trio.store.redis.scripts import load_scripts\n"
        "print(*(script.sha for script in load_scripts().values()))"
    )
    hashes = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert hashes == [[script.sha for script in load_scripts().values()]] * 2
