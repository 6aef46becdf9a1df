"""Retry rules: which of a handler's exceptions are retried, and after how long.

Rules belong to the handler and are not stored with its tasks: they name exceptions, which
only the worker's own code knows. They do not apply to a timeout or a deadline, which are
not exceptions of the handler, nor to those of `handlers.exceptions`, with which the handler
decides itself.

An exception group is judged by its contents. One exception to give up on, at any depth, is
enough to give up. The group is retried only if each exception in it is to be retried, or
lies inside a group that is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, flatten_group, group_members
from rediq_trio.values.bounds import MAX_DELAY, Duration, check_seconds, to_seconds_or_none

ExceptionTypes = type[Exception] | Sequence[type[Exception]]
"""One class of exceptions, or a tuple or list of them."""
RetryFunction = Callable[[Exception, int], Duration | None]
"""Takes an exception and the number of its attempt (from 1); returns seconds or a timedelta, or None
to give up."""


class BadRule(Exception):
    """The handler's `retry` function raised, or did not return a delay; the cause is chained."""


@attrs.frozen
class RetryRules:
    """The rules of one handler. Made by `retry_rules`, which checks them."""

    retry_on: tuple[type[Exception], ...] | None = None
    """Exceptions that are retried; None for all."""
    give_up_on: tuple[type[Exception], ...] = ()
    """Exceptions that are never retried; takes precedence over `retry_on`."""
    retry: RetryFunction | None = None
    """Returns the delay for exceptions that the other two allow; None to use the backoff."""

    def delay(self, error: BaseException, attempt: int, backoff: float) -> float | None:
        """Return the seconds until the next attempt, `backoff` by default; None to give up.

        Raises `BadRule` when the `retry` function fails; the caller then uses `backoff`.
        """
        if any(isinstance(part, self.give_up_on) for part in flatten_group(error)):
            return None
        if self.retry_on is not None and not _all_are(self.retry_on, error):
            return None
        # SystemExit and the like are not passed to the function, which takes an Exception.
        if self.retry is None or not isinstance(error, Exception):
            return backoff
        try:
            chosen = to_seconds_or_none(self.retry(error, attempt))
            if chosen is not None:
                check_seconds("retry", chosen, 0, MAX_DELAY)
        except KeyboardInterrupt:
            raise
        except BaseException as broken:
            # SystemExit too: neither a rule nor a handler can end the worker.
            raise BadRule from broken
        return chosen


def _all_are(kinds: tuple[type[Exception], ...], error: BaseException) -> bool:
    left = [error]
    for part in left:
        if not isinstance(part, kinds):
            if not (below := group_members(part)):
                return False
            left += below
    return True


ANY_ERROR = RetryRules()
"""Retry every exception, with the task's backoff."""


def retry_rules(
    retry_on: ExceptionTypes | None, give_up_on: ExceptionTypes | None, retry: RetryFunction | None
) -> RetryRules:
    """Return the rules for the arguments of `@app.task`; raise `ConfigError` for a bad one."""
    if retry_on is None and give_up_on is None and retry is None:
        return ANY_ERROR
    only = None if retry_on is None else _classes("retry_on", retry_on)
    never = () if give_up_on is None else _classes("give_up_on", give_up_on)
    if only == ():
        raise ConfigError.of(
            "retry_on", only, "one exception class or more (max_retry=0 for no retry)"
        )
    for kind in only or ():
        if issubclass(kind, never):
            raise ConfigError.of("retry_on", kind, "neither in give_up_on nor below a class in it")
    if retry is not None:
        _check_function(retry)
    return RetryRules(only, never, retry)


def _classes(field: str, given: object) -> tuple[type[Exception], ...]:
    found = cast("Sequence[Any]", given) if isinstance(given, tuple | list) else (given,)
    for kind in found:
        # Not BaseException: cancellations and interrupts belong to the worker.
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise ConfigError.of(
                field, cast("object", kind), "a subclass of Exception, or a tuple of them"
            )
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
        inspect.signature(retry).bind(None, 1)
    except ValueError:
        pass  # some functions written in C have no signature
    except TypeError:
        raise ConfigError.of("retry", retry, bound) from None
