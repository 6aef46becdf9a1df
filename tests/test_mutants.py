"""The mutants fit the scripts. `python -m tests.mutants` runs them."""

from collections import Counter

import pytest

from rediq_trio.store.redis.scripts import lua_folder, script_paths
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
