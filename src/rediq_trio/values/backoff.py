"""Backoff policies: from the number of the failed attempt to the seconds until the next one.

A policy is stored with its task as plain data (`encode_backoff`, `decode_backoff`), so every
worker uses the same one, whatever its own code says.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import attrs
from attrs.validators import optional

from rediq_trio._errors import ConfigError, PayloadError, quote
from rediq_trio.values.bounds import MAX_DELAY, number, to_seconds, to_seconds_or_none
from rediq_trio.values.bounds import seconds as in_seconds
from rediq_trio.values.chance import uniform


@attrs.frozen
class Exponential:
    """Wait `first * factor ** (attempt - 1)` seconds, at most `cap`, varied by `jitter`.

    The jitter is a share: 0.1 spreads each delay evenly over 90 % to 110 %, so that tasks
    that failed together are not retried together. (M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015.)
    """

    first: float = attrs.field(
        default=2.0, converter=to_seconds, validator=in_seconds(0, MAX_DELAY)
    )
    """Seconds before the second attempt, 0 to 1 year."""
    cap: float = attrs.field(default=60.0, converter=to_seconds, validator=in_seconds(0, MAX_DELAY))
    """The longest delay in seconds, before jitter, 0 to 1 year."""
    factor: float = attrs.field(default=2.0, validator=number(1, 1000))
    """Factor from one delay to the next, 1 to 1,000."""
    jitter: float = attrs.field(default=0.1, validator=number(0, 1))
    """Share of the delay that is added or subtracted at random, 0 to 1."""

    def delay(self, attempt: int, chance: Random | None = None) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 1)."""
        # 1000 ** 200 overflows a float; above the cap the exponent does not matter.
        steps = min(attempt - 1, 100)
        base = min(self.cap, self.first * self.factor**steps)
        drawn = uniform(-1, 1) if chance is None else chance.uniform(-1, 1)
        return min(MAX_DELAY, base * (1 + self.jitter * drawn))


@attrs.frozen
class Linear:
    """Wait `step * attempt` seconds, at most `cap`."""

    step: float = attrs.field(converter=to_seconds, validator=in_seconds(0, MAX_DELAY))
    """Seconds that each failure adds, 0 to 1 year."""
    cap: float | None = attrs.field(
        default=None, converter=to_seconds_or_none, validator=optional(in_seconds(0, MAX_DELAY))
    )
    """The longest delay in seconds, 0 to 1 year; None for 1 year."""

    def delay(self, attempt: int, chance: Random | None = None) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 1)."""
        return min(self.step * attempt, MAX_DELAY if self.cap is None else self.cap)


@attrs.frozen
class Fixed:
    """Wait the same `seconds` after each failure."""

    seconds: float = attrs.field(converter=to_seconds, validator=in_seconds(0, MAX_DELAY))
    """Seconds, 0 to 1 year."""

    def delay(self, attempt: int, chance: Random | None = None) -> float:
        """Return the seconds to wait; the attempt does not matter."""
        return self.seconds


Backoff = Exponential | Linear | Fixed

_POLICIES: tuple[type[Backoff], ...] = (Exponential, Linear, Fixed)
DEFAULT_BACKOFF = Exponential()
"""The policy of a task whose producer left it unset; an equal one that was set is another object."""


def encode_backoff(policy: Backoff) -> list[object]:
    """Return a policy as plain data; one that was left unset is the empty list."""
    if policy is DEFAULT_BACKOFF:
        return []
    return [_POLICIES.index(type(policy)), *attrs.astuple(policy)]


def decode_backoff(data: Sequence[object]) -> Backoff:
    """Return the policy of plain data; raise `PayloadError` for anything else."""
    if not data:
        return DEFAULT_BACKOFF
    kind, *fields = data
    if not isinstance(kind, int) or not 0 <= kind < len(_POLICIES):
        raise PayloadError(f"backoff policy number {quote(kind)} is unknown to this version")
    try:
        return _POLICIES[kind](*fields)  # type: ignore[arg-type]  # the validators check
    except (TypeError, ConfigError) as error:
        raise PayloadError(f"backoff policy cannot be read: {error}") from error
