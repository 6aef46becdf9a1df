"""Random plans, for properties of whatever takes one."""

from __future__ import annotations

from hypothesis import strategies as st

from rediq_trio.testing.fleets.plan import (
    CALL_KINDS,
    STEP_EFFECT,
    ActionKind,
    ClientAction,
    Fault,
    FaultKind,
    FaultPlan,
    StepOrder,
    Work,
)

_SECONDS = st.integers(0, 100_000).map(lambda ms: ms / 1000)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def some_faults(draw: st.DrawFn) -> Fault:
    kind = draw(st.sampled_from(FaultKind))
    host, seconds, hangs = draw(st.sampled_from(["w0", "w1", "c0"])), draw(_SECONDS), draw(st.booleans())
    if kind in CALL_KINDS or draw(st.booleans()):
        effects = ["claim", "settle"] if kind in CALL_KINDS else ["claim", "settle", STEP_EFFECT]
        effect, nth = draw(st.sampled_from(effects)), draw(st.integers(1, 40))
        return Fault(kind=kind, host=host, effect=effect, nth=nth, seconds=seconds, hangs=hangs)
    return Fault(kind=kind, host=host, at=draw(_SECONDS), seconds=seconds, hangs=hangs)


some_actions = st.builds(
    ClientAction,
    kind=st.sampled_from(ActionKind),
    after=_SECONDS,
    options=st.sampled_from([{}, {"delay": 2.5}]),
)
some_works = st.builds(
    Work,
    type=st.sampled_from(["a", "b"]),
    arguments=st.dictionaries(st.sampled_from(["x", "y"]), _JSON, max_size=2),
    options=st.sampled_from([{}, {"queue": "mail", "timeout": 5}]),
    at=_SECONDS,
    client=st.integers(0, 3),
    actions=st.lists(some_actions, max_size=2),
)
some_plans = st.builds(
    FaultPlan,
    seed=st.integers(0, 2**63 - 1),
    servers=st.integers(1, 5),
    seconds=st.integers(1, 500_000).map(lambda ms: ms / 1000),
    noise=st.booleans(),
    order=st.sampled_from(StepOrder),
    works=st.lists(some_works, max_size=6),
    faults=st.lists(some_faults(), max_size=6),
)
