"""How counts are written in one byte."""

from __future__ import annotations

from rediq_trio.spec.history.type_counts import code_of, count_of


def test_codes_are_in_order_and_within_a_sixteenth() -> None:
    counts = [*range(3000), *(2**n + d for n in range(12, 32) for d in (-1, 0, 1))]
    codes = [code_of(count) for count in counts]
    assert codes == sorted(codes)
    assert (codes[0], codes[-1] < 256) == (0, True)
    for count, code in zip(counts, codes, strict=True):
        assert abs(count_of(code) - count) <= count / 16
        assert count > 15 or count_of(code) == count
