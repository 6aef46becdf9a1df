"""Retry rules: which of a handler's exceptions are retried, and after how long.

They belong to the handler and do not travel with its tasks: they name exceptions,
which only the worker's own code knows. A timeout and a deadline are no exceptions
of the handler, so the rules do not touch them; nor do they touch `Retry`, `Reject`
and `Snooze`, by which a handler has decided already.

A group counts by what is in it. One exception to give up on, anywhere in it, is
enough to give up. It is retried only if each exception in it is to be retried, or
is inside of a group that is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, members, nested
from rediq_trio.values.bounds import MAX_DELAY, check_number

ExceptionTypes = type[Exception] | Sequence[type[Exception]]
"""One class of exceptions, or a tuple or list of them."""
RetryFunction = Callable[[Exception, int], float | None]
"""From an exception and the number of the attempt it ended (from 1) to seconds; None gives up."""


class BadRule(Exception):
    """The handler's `retry` function raised, or gave what is no delay; the cause is chained."""


@attrs.frozen
class RetryRules:
    """The rules of one handler. Made by `retry_rules`, which checks them."""

    retry_on: tuple[type[Exception], ...] | None = None
    """What is retried; None for everything."""
    give_up_on: tuple[type[Exception], ...] = ()
    """What never is. It wins over `retry_on`."""
    retry: RetryFunction | None = None
    """Chooses the delay of what the other two let through; None leaves it to the backoff."""

    def delay(self, error: BaseException, attempt: int, backoff: float) -> float | None:
        """Give the seconds until the next attempt, of themselves `backoff`; None for no further one.

        Raises `BadRule` when the `retry` function fails; the exception is to be
        retried then.
        """
        if any(isinstance(part, self.give_up_on) for part in nested(error)):
            return None
        if self.retry_on is not None and not _all_are(self.retry_on, error):
            return None
        # What is no Exception (SystemExit and the like) is not what the function is written for.
        if self.retry is None or not isinstance(error, Exception):
            return backoff
        try:
            chosen = self.retry(error, attempt)
            if chosen is not None:
                check_number("retry", chosen, 0, MAX_DELAY)
        except KeyboardInterrupt:
            raise
        except BaseException as broken:
            # SystemExit too: a rule cannot end the worker, as a handler cannot.
            raise BadRule from broken
        return chosen


def _all_are(kinds: tuple[type[Exception], ...], error: BaseException) -> bool:
    left = [error]
    while left:
        part = left.pop()
        if not isinstance(part, kinds):
            below = members(part)
            if not below:
                return False
            left += below
    return True


ANY_ERROR = RetryRules()
"""Retry whatever a handler raises, with the task's backoff."""


def retry_rules(
    retry_on: ExceptionTypes | None, give_up_on: ExceptionTypes | None, retry: RetryFunction | None
) -> RetryRules:
    """Make rules of what `@app.task` was given; raise `ConfigError` for a bad one."""
    if retry_on is None and give_up_on is None and retry is None:
        return ANY_ERROR
    only = None if retry_on is None else _classes("retry_on", retry_on)
    never = () if give_up_on is None else _classes("give_up_on", give_up_on)
    if only == ():
        raise ConfigError.of("retry_on", only, "one exception class or more (max_retry=0 for no retry)")
    for kind in only or ():
        if issubclass(kind, never):
            raise ConfigError.of("retry_on", kind, "neither in give_up_on nor below a class in it")
    if retry is not None:
        _check_function(retry)
    return RetryRules(only, never, retry)


def _classes(field: str, given: object) -> tuple[type[Exception], ...]:
    found = cast("Sequence[Any]", given) if isinstance(given, tuple | list) else (given,)
    for kind in found:
        # Not BaseException: cancellations and interrupts are the worker's own affair.
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise ConfigError.of(field, cast("object", kind), "a subclass of Exception, or a tuple of them")
    return tuple(found)


def _check_function(retry: object) -> None:
    bound = "a plain function of the exception and the attempt's number"
    if (
        not callable(retry)
        or isinstance(retry, type)
        or inspect.iscoroutinefunction(retry)
        or inspect.iscoroutinefunction(retry.__call__)
    ):
        raise ConfigError.of("retry", retry, bound)
    try:
        signature = inspect.signature(retry)
    except ValueError:
        return  # some functions written in C have none
    try:
        signature.bind(None, 1)
    except TypeError:
        raise ConfigError.of("retry", retry, bound) from None
