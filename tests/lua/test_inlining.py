"""The loader replaces names of keys and constants, and refuses Lua that it would break."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rediq_trio.store.redis.scripts import inlined, load_scripts

KEYS = "local records, meta,\n  limits = unpack(KEYS)\n"
CONSTANTS = "local STATE, DEAD = 1, 8\n"
INCLUDED = (("include/keys.lua", KEYS), ("include/record.lua", CONSTANTS))


def inline(body: str) -> str:
    """Return what a script's own text becomes, with keys and constants included."""
    return inlined((*INCLUDED, ("some.lua", body)), {}).splitlines(keepends=True)[-1]


@pytest.mark.parametrize(
    ("lua", "sent"),
    [
        ("redis.call('HGET', records, ARGV[1])", "redis.call('HGET', K[1], ARGV[1])"),
        ("record[STATE] = DEAD", "record[1] = 8"),
        ("return limits -- the limits", "return K[3] "),
        ("return 'limits' .. \"limits\"", "return 'limits' .. \"limits\""),
        ("return prefix..limits", "return prefix..K[3]"),
        ("return {limits, [STATE] = 1, DEAD}", "return {K[3], [1] = 1, 8}"),
        ("if a == limits and limits == b then end", "if a == K[3] and K[3] == b then end"),
        ("local own_limits, limits2 = 1, states", "local own_limits, limits2 = 1, states"),
    ],
)
def test_a_name_of_a_key_or_constant_is_replaced(lua: str, sent: str) -> None:
    assert inline(lua) == sent


def test_lines_stay_where_they_are() -> None:
    source = inlined((*INCLUDED, ("some.lua", "-- a comment\nreturn meta\n")), {})
    assert source == "local K = KEYS\n\n\n\nreturn K[2]\n"


@pytest.mark.parametrize("name", ["limits", "DEAD", "K"])
@pytest.mark.parametrize(
    ("lua", "use"),
    [
        ("local @ = {}", "a local"),
        ("local a, @ = 1, 2", "a local"),
        ("  local a\n\n  local b,\n    @", "a local"),
        ("local function @(a) end", "a function"),
        ("local function count_of(@) end", "a parameter"),
        ("local f = function(a, @) end", "a parameter"),
        ("for @ = 1, 2 do end", "a loop variable"),
        ("for i, @ in ipairs(ARGV) do end", "a loop variable"),
        ("return {@ = 1}", "a field, or assigned to"),
        ("return {a = 1, @ = 2}", "a field, or assigned to"),
        ("return found.@", "a field or method"),
        ("return found:@()", "a field or method"),
        ("@ = 1", "assigned to"),
        ("a, @ = 1, 2", "assigned to"),
    ],
)
def test_a_name_that_must_stand_as_it_is_is_refused(lua: str, use: str, name: str) -> None:
    text = f"-- {name} = 1\nlocal text = '{name} = 1'\n" + lua.replace("@", name)
    line = text.count("\n") + 1
    said = re.escape(
        f"lua/some.lua, line {line}: '{name}' is {use}, but the loader replaces that name by "
    )
    with pytest.raises(ValueError, match=said):
        inline(text)


def test_a_name_in_an_included_file_is_refused_as_well() -> None:
    included = ("include/terminal.lua", "\nlocal function over(meta) end\n")
    said = (
        "lua/include/terminal.lua, line 2: 'meta' is a parameter.* by K\\[2\\], a key of the queue"
    )
    with pytest.raises(ValueError, match=said):
        inlined((*INCLUDED, included, ("some.lua", "return 1\n")), {})


@pytest.mark.parametrize("name", ["DEAD", "K"])
@pytest.mark.parametrize("again", ["local @ = 9", "local OTHER, @ = 1, 8"])
def test_a_constant_is_declared_once(again: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"lua/some\.lua, line 2: '{name}' is declared twice"):
        inline("return 1\n" + again.replace("@", name))


def test_a_script_that_does_not_include_a_name_may_use_it() -> None:
    body = "local limits, DEAD, K = 1, {}, 3\n"
    assert inlined((("some.lua", body),), {}) == body


def test_loading_a_folder_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "keys.lua").write_text(KEYS)
    header = "-- some: no edge\n-- Reads.\n-- KEYS     all\n-- INCLUDE  keys\n"
    (tmp_path / "some.lua").write_text(header + "local meta = 1\nreturn meta\n")
    with pytest.raises(ValueError, match=r"lua/some\.lua, line 5: 'meta' is a local"):
        load_scripts(tmp_path)
