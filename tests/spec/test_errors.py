"""Errors say what happened, to what, and never more of a value than fits."""

import inspect

import pytest

from rediq_trio import _errors
from rediq_trio._errors import ConfigError, DuplicateTask, RediqError, TaskNotFound, quote


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        ("a", "'a'"),
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 76}..."),
        ([1] * 100, ("[" + "1, " * 100)[:77] + "..."),
    ],
)
def test_a_value_is_shown_in_80_characters_at_most(value: object, text: str) -> None:
    assert quote(value) == text
    assert len(quote(value)) <= 80


def test_a_value_whose_representation_fails_is_shown_all_the_same() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    assert quote(Broken()) == "<Broken whose repr raised ZeroDivisionError>"


def test_every_error_is_of_the_one_tree_and_drawn_in_it() -> None:
    for name, each in inspect.getmembers(_errors, inspect.isclass):
        if each.__module__.partition(".")[0] != "rediq_trio":
            continue  # imported
        assert issubclass(each, RediqError)
        assert name in (_errors.__doc__ or "")


def test_a_config_error_names_field_value_and_bound() -> None:
    error = ConfigError.of("priority", 101, "a whole number from 0 to 100")
    assert str(error) == "priority=101: must be a whole number from 0 to 100"
    assert isinstance(error, ValueError)


def test_errors_about_a_task_carry_its_id() -> None:
    assert DuplicateTask("q/t").existing_id == "q/t"
    assert TaskNotFound("q/t").task_id == "q/t"
