"""Backoff policies: how long to wait after which attempt, and how they travel."""

import math
import random
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.values.backoff import (
    DEFAULT_BACKOFF,
    Backoff,
    Exponential,
    Fixed,
    Linear,
    decode_backoff,
    encode_backoff,
)
from rediq_trio.values.bounds import MAX_DELAY

seconds = st.floats(0, MAX_DELAY) | st.integers(0, int(MAX_DELAY))
exponentials = st.builds(Exponential, seconds, seconds, st.floats(1, 1000), st.floats(0, 1))
policies = (
    exponentials | st.builds(Linear, seconds, st.none() | seconds) | st.builds(Fixed, seconds)
)
attempts = st.integers(1, 1_000_001)


@given(policies)
def test_a_policy_comes_back_as_it_was_sent(policy: Backoff) -> None:
    sent = msgpack.unpackb(msgpack.packb(encode_backoff(policy)))
    assert decode_backoff(sent) == policy


@given(policies, attempts, st.randoms(use_true_random=False))
def test_a_delay_is_within_bounds_for_any_attempt(
    policy: Backoff, attempt: int, chance: random.Random
) -> None:
    assert 0 <= policy.delay(attempt, chance) <= MAX_DELAY


@given(exponentials, attempts, st.randoms(use_true_random=False))
def test_jitter_varies_a_delay_by_no_more_than_its_share(
    policy: Exponential, attempt: int, chance: random.Random
) -> None:
    plain = min(policy.cap, policy.first * policy.factor ** min(attempt - 1, 100))
    delay = policy.delay(attempt, chance)
    low, high = plain * (1 - policy.jitter), min(MAX_DELAY, plain * (1 + policy.jitter))
    assert low * (1 - 1e-9) <= delay <= high * (1 + 1e-9)


def test_jitter_reaches_both_sides() -> None:
    policy, chance = Exponential(first=10, jitter=0.5), random.Random(1)
    delays = [policy.delay(1, chance) for _ in range(200)]
    assert min(delays) < 6
    assert max(delays) > 14


def test_an_exponential_grows_by_its_factor_up_to_its_cap() -> None:
    policy = Exponential(first=2, cap=60, factor=3, jitter=0)
    assert [policy.delay(n) for n in (1, 2, 3, 4, 5, 1000)] == [2, 6, 18, 54, 60, 60]


def test_a_linear_one_grows_by_its_step_up_to_its_cap() -> None:
    assert [Linear(5, cap=12).delay(n) for n in (1, 2, 3)] == [5, 10, 12]
    assert Linear(5).delay(10**9) == MAX_DELAY


def test_a_fixed_one_does_not_grow() -> None:
    assert [Fixed(7).delay(n) for n in (1, 2, 100)] == [7, 7, 7]


def test_the_default_travels_as_nothing() -> None:
    assert encode_backoff(DEFAULT_BACKOFF) == []
    assert decode_backoff([]) == DEFAULT_BACKOFF


@pytest.mark.parametrize(
    "data",
    [
        [3, 1.0], [-1, 1.0], ["0"], [None], [2], [2, -1.0], [2, "x"], [2, 1, 2], [1, math.nan],
        [0, 1, 1, 0, 0],
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_read_is_an_error_of_the_payload(data: list[Any]) -> None:
    with pytest.raises(PayloadError, match="backoff policy"):
        decode_backoff(data)


@pytest.mark.parametrize(
    ("make", "field", "values"),
    [
        (lambda v: Exponential(first=v), "first", [-1, MAX_DELAY + 1, math.nan, "2", True, None]),
        (lambda v: Exponential(cap=v), "cap", [-0.1, math.inf]),
        (lambda v: Exponential(factor=v), "factor", [0.99, 1001]),
        (lambda v: Exponential(jitter=v), "jitter", [-0.01, 1.01]),
        (lambda v: Linear(v), "step", [-1, MAX_DELAY * 2]),
        (lambda v: Linear(1, cap=v), "cap", [-1, math.inf]),
        (lambda v: Fixed(v), "seconds", [-1, math.inf, "1"]),
    ],
)
def test_a_number_out_of_its_bounds_is_refused_by_name(
    make: Any, field: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=f"^{field}="):
            make(value)
