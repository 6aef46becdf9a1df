"""Which exceptions are retried, and after how long."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError
from rediq_trio.handlers.retry_rules import ANY_ERROR, BadRule, RetryRules, retry_rules
from rediq_trio.values.bounds import MAX_DELAY

BACKOFF = 3.0

CLASSES = "a subclass of Exception, or a tuple of them"


def rules(**given: Any) -> RetryRules:
    return retry_rules(given.get("retry_on"), given.get("give_up_on"), given.get("retry"))


def retried(error: BaseException, **given: Any) -> bool:
    return rules(**given).delay(error, 1, BACKOFF) == BACKOFF


def deep(*errors: BaseException, depth: int) -> BaseException:
    found: BaseException = BaseExceptionGroup("of several", errors)
    for _ in range(depth):
        found = BaseExceptionGroup("around", [found, ValueError()])
    return found


def test_without_rules_everything_is_retried_with_its_backoff() -> None:
    assert rules() is ANY_ERROR
    for error in (ValueError(), SystemExit(), ExceptionGroup("", [ValueError(), KeyError()])):
        assert retried(error)


def test_what_is_to_be_given_up_on_is_not_retried_nor_are_its_subclasses() -> None:
    assert not retried(KeyError(), give_up_on=LookupError)
    assert retried(ValueError(), give_up_on=LookupError)


def test_of_what_is_to_be_retried_only_that_is_retried() -> None:
    only = (ConnectionError, TimeoutError)
    assert retried(ConnectionResetError(), retry_on=only)
    assert not retried(ValueError(), retry_on=only)
    assert not retried(SystemExit(), retry_on=only)


def test_giving_up_wins() -> None:
    both = {"retry_on": [OSError], "give_up_on": [ConnectionError]}
    assert retried(TimeoutError(), **both)
    assert not retried(ConnectionError(), **both)


def test_one_member_to_give_up_on_is_enough_at_any_depth() -> None:
    group = ExceptionGroup("", [ValueError(), ExceptionGroup("", [OSError(), KeyError()])])
    assert not retried(group, give_up_on=KeyError)
    assert not retried(group, give_up_on=KeyError, retry_on=(ValueError, OSError))
    assert retried(group, give_up_on=TypeError)


def test_a_group_is_retried_when_each_of_its_members_is() -> None:
    group = ExceptionGroup("", [ValueError(), ExceptionGroup("", [OSError(), KeyError()])])
    assert retried(group, retry_on=(ValueError, OSError, LookupError))
    assert not retried(group, retry_on=(ValueError, OSError))


def test_a_group_named_as_such_covers_what_is_in_it() -> None:
    inner = ExceptionGroup("", [KeyError(), TypeError()])
    assert retried(inner, retry_on=ExceptionGroup)
    assert retried(ExceptionGroup("", [inner, inner]), retry_on=ExceptionGroup)
    assert not retried(inner, give_up_on=ExceptionGroup)


def test_a_group_as_deep_as_it_likes_is_judged() -> None:
    group = deep(KeyError(), OSError(), depth=20_000)
    assert not retried(group, give_up_on=KeyError)
    assert not retried(group, retry_on=(ValueError, OSError))
    assert retried(group, retry_on=(ValueError, OSError, KeyError))


def test_the_function_chooses_the_delay_of_what_is_let_through() -> None:
    asked: list[tuple[str, int]] = []

    def wait(error: Exception, attempt: int) -> float | None:
        asked.append((type(error).__name__, attempt))
        return None if isinstance(error, OSError) else attempt * 10

    mine = rules(give_up_on=KeyError, retry_on=(ValueError, OSError), retry=wait)
    assert mine.delay(ValueError(), 2, BACKOFF) == 20
    assert mine.delay(OSError(), 1, BACKOFF) is None
    assert mine.delay(KeyError(), 1, BACKOFF) is None
    assert mine.delay(TypeError(), 1, BACKOFF) is None
    assert asked == [("ValueError", 2), ("OSError", 1)]


def test_the_function_is_not_asked_for_what_is_no_exception() -> None:
    assert retried(SystemExit(), retry=lambda error, attempt: 1 / 0)


@pytest.mark.parametrize("delay", [0, 0.5, MAX_DELAY])
def test_the_function_may_choose_up_to_a_year(delay: float) -> None:
    assert rules(retry=lambda error, attempt: delay).delay(ValueError(), 1, BACKOFF) == delay


@pytest.mark.parametrize("rubbish", [-1, MAX_DELAY + 1, math.nan, math.inf, "1", True, b"", [], {}])
def test_what_is_no_delay_is_told_with_its_bound(rubbish: Any) -> None:
    with pytest.raises(BadRule) as bad:
        rules(retry=lambda error, attempt: rubbish).delay(ValueError(), 1, BACKOFF)
    assert isinstance(bad.value.__cause__, ConfigError)
    assert str(bad.value.__cause__).startswith("retry=")


@pytest.mark.parametrize("raised", [ZeroDivisionError, rediq.Snooze, SystemExit, GeneratorExit])
def test_a_function_that_raises_is_told_with_what_it_raised(raised: type[BaseException]) -> None:
    def broken(error: Exception, attempt: int) -> float:
        raise raised(1)

    with pytest.raises(BadRule) as bad:
        rules(retry=broken).delay(ValueError(), 1, BACKOFF)
    assert isinstance(bad.value.__cause__, raised)


def test_a_keyboard_interrupt_in_the_function_goes_through() -> None:
    def interrupted(error: Exception, attempt: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rules(retry=interrupted).delay(ValueError(), 1, BACKOFF)


class Asked:
    def __call__(self, error: Exception, attempt: int) -> float:
        return 1.0


class AskedSlowly:
    async def __call__(self, error: Exception, attempt: int) -> float:
        return 1.0


async def slow(error: Exception, attempt: int) -> float:
    return 1.0


FUNCTIONS: list[Callable[..., Any]] = [
    lambda error, attempt: 1.0,
    lambda *args: 1.0,
    lambda error, attempt, more=1: 1.0,
    functools.partial(lambda most, error, attempt: most, 1.0),
    Asked(),
    max,  # written in C: it has no signature to look at
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_callable_of_two_is_taken_for_the_function(function: Any) -> None:
    assert rules(retry=function).retry is function


BAD: list[tuple[str, Any, str]] = [
    *(
        (field, value, CLASSES)
        for field in ("retry_on", "give_up_on")
        for value in (
            "ValueError", 5, ValueError(), BaseException, KeyboardInterrupt, SystemExit, int,
            BaseExceptionGroup, (ValueError, None), [ValueError, "KeyError"], {ValueError}, ((ValueError,),),
        )
    ),
    *(("retry_on", value, "one exception class or more") for value in ((), [])),
    *(
        ("retry", value, "a plain function of the exception and the attempt's number")
        for value in (
            5, "wait", rediq.Fixed(1), float, slow, AskedSlowly(), functools.partial(slow),
            lambda: 1.0, lambda error: 1.0, lambda a, b, c: 1.0, lambda a, *, b: 1.0,
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "bound"), BAD)
def test_a_bad_rule_is_refused_where_the_handler_is_registered(
    field: str, value: Any, bound: str
) -> None:
    app = rediq.App()
    with pytest.raises(ConfigError) as refused:
        app.task("t", **{field: value})
    assert str(refused.value).startswith(f"{field}=")
    assert bound in str(refused.value)


@pytest.mark.parametrize("never", [KeyError, LookupError, (ValueError, LookupError)])
def test_a_class_in_both_itself_or_by_its_base_is_refused(never: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^retry_on=.*KeyError.* must be neither in give_up_on nor below"
    ):
        rediq.App().task("t", retry_on=(OSError, KeyError), give_up_on=never)


def test_one_class_a_tuple_and_a_list_are_the_same() -> None:
    for given in (OSError, (OSError,), [OSError]):
        assert rules(retry_on=given, give_up_on=ValueError) == RetryRules((OSError,), (ValueError,))


def test_rules_stay_with_the_handler_when_its_options_change() -> None:
    app = rediq.App()

    @app.task("t", give_up_on=ValueError)
    async def handler() -> None: ...

    assert handler.options(priority=1).rules is handler.rules
    with pytest.raises(ConfigError, match="unknown option 'retry_on'"):
        handler.options(retry_on=OSError)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="unknown option 'give_up_on'"):
        rediq.App().task("t")(handler.function).options(give_up_on=OSError)  # type: ignore[call-arg]
