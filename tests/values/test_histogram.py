from __future__ import annotations

import bisect

from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.values.histogram import DURATION_BOUNDS, SIZE_BOUNDS, Histogram


@given(st.lists(st.sampled_from(DURATION_BOUNDS) | st.floats(0, 1e6)))
def test_each_value_is_in_the_buckets_whose_bound_it_does_not_exceed(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = histogram.cumulative()
    assert found == [*(sum(v <= bound for v in values) for bound in DURATION_BOUNDS), len(values)]
    assert histogram.total == sum(values)
    assert not histogram.exemplars


def test_the_exemplar_of_a_bucket_is_its_last_value_with_a_trace() -> None:
    histogram = Histogram(SIZE_BOUNDS)
    for value, trace in ((3, "a"), (4, "b"), (5, None), (1e9, "c")):
        histogram.add(value, trace)
    at = bisect.bisect_left(SIZE_BOUNDS, 4)
    assert {n: (e.trace_id, e.value) for n, e in histogram.exemplars.items()} == {
        at: ("b", 4), len(SIZE_BOUNDS): ("c", 1e9),
    }  # fmt: skip


def test_bounds_rise_from_1_ms_to_1_h() -> None:
    assert (DURATION_BOUNDS[0], DURATION_BOUNDS[-1]) == (0.001, 3600)
    for bounds in (DURATION_BOUNDS, SIZE_BOUNDS):
        assert list(bounds) == sorted({*bounds})
