"""The mutants fit the scripts. `python -m tests.mutants` runs them."""

import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from rediq_trio.store.redis.scripts import inlined, load_scripts, lua_folder, script_paths
from tests.mutants import mutated, path_of
from tests.mutations import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_its_script_in_one_place(mutant: Mutant) -> None:
    lua = lua_folder()
    assert mutated(mutant, lua) != path_of(mutant.script, lua).read_text("utf-8")


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1


def test_no_two_mutants_are_the_same() -> None:
    texts = Counter((mutant.script, mutated(mutant, lua_folder())) for mutant in MUTANTS)
    assert [script for (script, _), times in texts.items() if times > 1] == []


def test_every_script_that_writes_has_a_mutant() -> None:
    unguarded = {
        "inspect_groups",
        "inspect_keys",
        "inspect_messages",
        "inspect_schedules",
        "inspect_unique",
    }
    scripts = script_paths(lua_folder()).keys() - unguarded
    assert scripts <= {mutant.script for mutant in MUTANTS}


def test_what_a_script_is_joined_from_can_be_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the run of the mutants does, so that it joins only the scripts that a mutant changes.
    monkeypatch.setattr("rediq_trio.store.redis.scripts.inlined", cache(inlined))
    lua = shutil.copytree(lua_folder(), tmp_path / "lua")
    assert load_scripts(lua) == load_scripts()
