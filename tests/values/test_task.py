"""A task is checked where it is built: every option's bounds, and what the error says."""

import datetime as dt
import math
from typing import Any

import attrs
import pytest

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds
from rediq_trio.values.backoff import Fixed
from rediq_trio.values.task import Task, Unique

NOW = dt.datetime.now(dt.UTC)
YEAR = bounds.MAX_DELAY
DAY = dt.timedelta(days=1)
SECONDS = "a number of seconds from 0 to 31,622,400 (1 year), or a timedelta"
MANY_SECONDS = "a number of seconds above 0 to 316,224,000 (10 years)"
NAME = bounds.NAME_BOUND
TRIES = "a whole number from 0 to 1,000,000"
LABEL = "1 to 128 printable characters (bytes, as UTF-8), and not '*'"
LABELS = ["", "*", "a\nb", "x" * 129, "ä" * 65, 5, b"g"]
TASK_ID = "a task's id, '<queue>/<id>', each part 1 to 128"

BAD: list[tuple[str, list[Any], str]] = [
    ("id", ["", "a b", "ä", "a/b", "x" * 129, 5, b"t", "a\n"], NAME),
    ("queue", ["", "a b", "{q}", "x" * 129, None, 5], NAME),
    ("priority", [-1, 101, 50.0, "1", True, None], "a whole number from 0 to 100"),
    ("max_retry", [-1, 1_000_001, 1.0, None], TRIES),
    ("max_crashes", [-1, 1_000_001, "3", False], TRIES),
    ("timeout", [0, -1, math.nan, "30", True, -DAY], "a number of seconds above 0, or a timedelta"),
    ("timeout", [None], "seconds above 0, or math.inf for no bound"),
    ("backoff", [5, "exponential", None], "such as rediq.Fixed(5)"),
    ("unique", [True], "a Unique, such as rediq.Unique() or "),
    ("backoff", [5, "exponential", None, Fixed], "Exponential or Linear or Fixed"),
    (
        "delay",
        [-0.1, YEAR + 1, math.inf, math.nan, "1"],
        SECONDS,
    ),
    ("run_at", [5, NOW.replace(tzinfo=None), "now"], "a datetime with a time zone"),
    ("run_at", [NOW + dt.timedelta(days=367)], "at most 1 year ahead"),
    (
        "expires",
        [0, -1, bounds.MAX_RETENTION + 1, "1"],
        MANY_SECONDS,
    ),
    ("expires", [NOW.replace(tzinfo=None)], "a datetime with a time zone"),
    (
        "deadline",
        [0, -1, YEAR + 1, math.inf, math.nan, "1", True],
        "a number of seconds above 0 to 31,622,400",
    ),
    ("deadline", [NOW.replace(tzinfo=None)], "a datetime with a time zone"),
    ("retention", [-1, bounds.MAX_RETENTION + 1, math.inf, None], "a number of seconds from 0"),
    ("metadata", [5, None, [("a", "b")]], "a mapping of str to str"),
    ("metadata", [{"a": 1}, {1: "a"}, {"a": "x" * 4097}, {"x" * 4097: "a"}], "str to str"),
    ("metadata", [{str(n): "" for n in range(65)}], "at most 64 entries"),
    ("unique", [True, "key", Unique, {"key": "k"}], "Unique"),
    ("depends_on", [5, None, True], "ids or handles of tasks"),
    ("depends_on", ["x", ["q/a", "b"], "q/a/b", "/a", "q/", [None], [["q/a"]], b"q/a"], TASK_ID),
    ("depends_on", [[Task("t", id="own")], Task("t")], TASK_ID),
    ("depends_on", [[f"q/{n}" for n in range(10_001)]], "at most 10,000 tasks"),
    ("on_dependency_failure", ["", "die", None, True, []], "one of dead, run"),
    ("group", LABELS, LABEL),
    ("limit_key", LABELS, LABEL),
]


@pytest.mark.parametrize(("field", "values", "bound"), BAD)
def test_an_option_out_of_its_bounds_is_refused(field: str, values: list[Any], bound: str) -> None:
    for value in values:
        with pytest.raises(ConfigError) as caught:
            Task("t", **{field: value})
        assert str(caught.value).startswith(f"{field}=")
        assert bound in str(caught.value)


@pytest.mark.parametrize("value", ["", "x" * 257, "a\x00b", "a\nb", 5, None, b"t"])
def test_a_type_out_of_its_bounds_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^type=.*1 to 256 printable characters"):
        Task(value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("id", [None, "a", "Z9._:-", "x" * 128]),
        ("queue", ["a", "x" * 128]),
        ("priority", [0, 100]),
        ("max_retry", [0, 1_000_000]),
        ("max_crashes", [0, 1_000_000]),
        ("timeout", [1e-9, 5, math.inf]),
        ("backoff", [Fixed(1)]),
        ("delay", [None, 0, 0.5, YEAR]),
        ("run_at", [None, NOW, NOW - dt.timedelta(days=9999), NOW + dt.timedelta(days=365)]),
        ("expires", [None, 1e-3, bounds.MAX_RETENTION, NOW]),
        ("deadline", [None, 1e-3, 1, YEAR, NOW, NOW - dt.timedelta(days=9999)]),
        ("retention", [0, 0.5, bounds.MAX_RETENTION]),
        ("metadata", [{}, {"a": "x" * 4096}, {str(n): "" for n in range(64)}]),
        ("unique", [None, Unique(), Unique("k", until="expired", ttl=1)]),
        ("depends_on", [(), ("q/a", "r/b"), tuple(f"q/{n}" for n in range(10_000))]),
        ("on_dependency_failure", ["dead", "run"]),
        ("group", [None, "g", "ä" * 64]),
        ("limit_key", [None, "user 7", "x" * 128]),
    ],
)
def test_an_option_at_its_bounds_is_taken(field: str, values: list[Any]) -> None:
    for value in values:
        assert getattr(Task("t", **{field: value}), field) == value


def test_delay_and_run_at_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"^run_at=.*left out if delay is given"):
        Task("t", delay=1, run_at=NOW)


def test_a_bad_value_is_cut_to_80_characters_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        Task("t", queue="x" * 10_000)
    assert str(caught.value) == f"queue='{'x' * 76}...: must be {NAME}"


def test_a_task_is_immutable_and_keeps_a_copy_of_its_metadata() -> None:
    metadata = {"a": "b"}
    task = Task[None]("t", metadata=metadata)
    metadata["a"] = "changed"
    assert task.metadata == {"a": "b"}
    with pytest.raises(TypeError):
        task.metadata["a"] = "c"  # type: ignore[index]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        task.priority = 1  # type: ignore[misc]


def test_a_payload_does_not_show_in_the_representation() -> None:
    assert "secret" not in repr(Task("t", {"password": "secret"}))


def test_a_bool_is_no_number_and_a_number_no_name() -> None:
    with pytest.raises(ConfigError):
        bounds.check_number("n", True, 0, 5)
    assert not bounds.is_name(5)


UNIQUE: list[tuple[str, list[Any], str]] = [
    ("key", ["", "x" * 257, "a\nb", 5, b"k"], "1 to 256 printable characters"),
    ("until", ["", "end", None, True], "one of done, started, expired"),
    (
        "ttl",
        [0, -1, bounds.MAX_RETENTION + 1, math.inf, math.nan, "1", True],
        MANY_SECONDS,
    ),
    ("on_conflict", ["", "ignore", None], "one of reject, replace, return"),
]


@pytest.mark.parametrize(("field", "values", "bound"), UNIQUE)
def test_a_unique_key_out_of_its_bounds_is_refused(
    field: str, values: list[Any], bound: str
) -> None:
    for value in values:
        with pytest.raises(ConfigError) as caught:
            Unique(**{field: value})
        assert str(caught.value).startswith(f"{field}=")
        assert bound in str(caught.value)


def test_a_window_that_ends_by_time_needs_a_time() -> None:
    with pytest.raises(ConfigError, match=r'^ttl=None: must be given where until is "expired"'):
        Unique(until="expired")
    assert Unique(until="expired", ttl=bounds.MAX_RETENTION).ttl == bounds.MAX_RETENTION


class Handle:
    def __init__(self, task_id: str) -> None:
        self.id = task_id


@pytest.mark.parametrize(
    "given",
    [
        "q/a",
        Handle("q/a"),
        ["q/a"],
        (Handle("q/a"),),
        {"q/a": "a mapping gives its keys"},
        iter(["q/a"]),
    ],
)
def test_a_dependency_is_an_id_or_a_handle_or_some_of_them(given: Any) -> None:
    assert Task("t", depends_on=given).depends_on == ("q/a",)


def test_dependencies_keep_their_order() -> None:
    assert Task("t", depends_on=["q/b", Handle("r/c"), "q/a"]).depends_on == ("q/b", "r/c", "q/a")


def test_a_task_does_not_depend_on_itself() -> None:
    with pytest.raises(ConfigError, match=r"^depends_on='me': must be other tasks than itself"):
        Task("t", id="me", queue="q", depends_on=["q/other", "q/me"])
    assert Task("t", id="me", queue="q", depends_on="r/me").depends_on == ("r/me",)


@pytest.mark.parametrize(
    "option", [{"delay": 1}, {"run_at": NOW}, {"depends_on": "q/a"}, {"limit_key": "k"}]
)
def test_a_grouped_task_takes_no_option_that_is_its_batchs(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ConfigError, match=rf"^{name}=.*left out if group is given"):
        Task("t", group="g", **option)


@pytest.mark.parametrize("option", [{"depends_on": "q/a"}, {"group": "g"}])
def test_what_waits_with_others_replaces_nobody(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^unique=.*without replace where tasks wait together"):
        Task("t", unique=Unique(on_conflict="replace"), **option)
    assert Task("t", unique=Unique(), **option).unique == Unique()
