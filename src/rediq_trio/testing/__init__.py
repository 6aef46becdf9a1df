"""Tools to test programs that use the queue: simulated fleets, and what looks for faults in handlers.

Each name is imported when it is used, so that nothing here costs a program that only serves tasks.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rediq_trio.testing.crash import Trial, crash_everywhere
    from rediq_trio.testing.crashes.report import CrashPoint, CrashReport
    from rediq_trio.testing.direct_call import DirectTask, running
    from rediq_trio.testing.effects import Effect, History
    from rediq_trio.testing.fleets.campaign import CampaignReport
    from rediq_trio.testing.fleets.failure import NeverSeen, SimulationFailed
    from rediq_trio.testing.fleets.fleet import SimulatedFleet
    from rediq_trio.testing.fleets.plan import (
        ActionKind,
        ClientAction,
        Fault,
        FaultKind,
        FaultPlan,
        StepOrder,
        Work,
    )
    from rediq_trio.testing.fleets.scenario import Faults, Scenario
    from rediq_trio.testing.fleets.seen import sometimes
    from rediq_trio.testing.fleets.simulate import replay, simulate
    from rediq_trio.testing.machine import QueueMachine
    from rediq_trio.testing.simulated.errors import (
        Deadlock,
        NotAtRest,
        RealWorld,
        SimulationError,
        Stuck,
    )
    from rediq_trio.testing.simulated.handle import SimHandle
    from rediq_trio.testing.simulated.not_deterministic import NotDeterministic
    from rediq_trio.testing.simulated.servers import SimServer
    from rediq_trio.testing.simulation import Simulation
    from rediq_trio.testing.strategies import plans, tasks
    from rediq_trio.testing.traces.check import check_trace
    from rediq_trio.testing.traces.report import TraceReport, TraceState, TraceViolation

__all__ = [
    "ActionKind",
    "CampaignReport",
    "ClientAction",
    "CrashPoint",
    "CrashReport",
    "Deadlock",
    "DirectTask",
    "Effect",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Faults",
    "History",
    "NeverSeen",
    "NotAtRest",
    "NotDeterministic",
    "QueueMachine",
    "RealWorld",
    "Scenario",
    "SimHandle",
    "SimServer",
    "SimulatedFleet",
    "Simulation",
    "SimulationError",
    "SimulationFailed",
    "StepOrder",
    "Stuck",
    "TraceReport",
    "TraceState",
    "TraceViolation",
    "Trial",
    "Work",
    "check_trace",
    "crash_everywhere",
    "plans",
    "replay",
    "running",
    "simulate",
    "sometimes",
    "tasks",
]

_KIT_MODULES = MappingProxyType(
    {
        "ActionKind": "fleets.plan",
        "CampaignReport": "fleets.campaign",
        "ClientAction": "fleets.plan",
        "CrashPoint": "crashes.report",
        "CrashReport": "crashes.report",
        "Deadlock": "simulated.errors",
        "DirectTask": "direct_call",
        "Effect": "effects",
        "Fault": "fleets.plan",
        "FaultKind": "fleets.plan",
        "FaultPlan": "fleets.plan",
        "Faults": "fleets.scenario",
        "History": "effects",
        "NeverSeen": "fleets.failure",
        "NotAtRest": "simulated.errors",
        "NotDeterministic": "simulated.not_deterministic",
        "QueueMachine": "machine",
        "RealWorld": "simulated.errors",
        "Scenario": "fleets.scenario",
        "SimHandle": "simulated.handle",
        "SimServer": "simulated.servers",
        "SimulatedFleet": "fleets.fleet",
        "Simulation": "simulation",
        "SimulationError": "simulated.errors",
        "SimulationFailed": "fleets.failure",
        "StepOrder": "fleets.plan",
        "Stuck": "simulated.errors",
        "TraceReport": "traces.report",
        "TraceState": "traces.report",
        "TraceViolation": "traces.report",
        "Trial": "crash",
        "Work": "fleets.plan",
        "check_trace": "traces.check",
        "crash_everywhere": "crash",
        "plans": "strategies",
        "replay": "fleets.simulate",
        "running": "direct_call",
        "simulate": "fleets.simulate",
        "sometimes": "fleets.seen",
        "tasks": "strategies",
    }
)
"""The module that defines each name."""


def __getattr__(name: str) -> Any:
    if name not in _KIT_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "QueueMachine":
        from rediq_trio.testing.strategies import import_strategies

        import_strategies()  # it says which extra is missing
    return getattr(importlib.import_module(f"{__name__}.{_KIT_MODULES[name]}"), name)
