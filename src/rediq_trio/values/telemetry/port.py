"""What a worker and a client report to telemetry, and the interface that takes it.

Nothing that telemetry does may fail what it looks at: its methods raise nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.values.telemetry.sending import Sender, Sending, ServerAddress

AttemptEnd = Literal["completed", "retry", "dead", "snoozed", "cancelled", "released", "lost"]
"""How an attempt ended: `"retry"` and `"dead"` after a failure, `"released"` because its worker stopped,
`"lost"` if another worker may hold the task."""


@attrs.frozen(eq=False)
class BegunAttempt:
    """An attempt that begins."""

    id: str
    """`"<queue>/<id>"` of the task."""
    queue: str
    type: str
    attempt: int
    """Its number, from 1."""
    worker: str
    metadata: Mapping[str, str]
    """As they are stored: with the id of its workflow as `rediq.workflow`."""
    members: Sequence[Mapping[str, str]] | None
    """The metadata of each member of a batch; None for any other task."""
    server: ServerAddress | None


@attrs.frozen(eq=False)
class EndedAttempt:
    """How an attempt ended."""

    end: AttemptEnd
    error: ErrorText | None = None
    """The error of an attempt that failed, as the app's `redact` left it."""
    children: Mapping[str, int] = attrs.field(factory=dict[str, int])
    """How many tasks are sent with the completion, by queue."""


class ObservedAttempt(Protocol):
    """An attempt that telemetry looks at."""

    trace_id: str | None
    """The id of its trace, 32 hexadecimal digits; None if nobody records any."""

    def end(self, ended: EndedAttempt) -> None: ...


class ObservedSettlement(Protocol):
    """The writing of outcomes that telemetry looks at."""

    def end(self, error: BaseException | None = None) -> None: ...


class Telemetry(Protocol):
    """What `App(telemetry=...)` and `connect(..., telemetry=...)` take, such as `OpenTelemetry`."""

    def sending(self, sending: Sending) -> AbstractContextManager[Any]:
        """Look at tasks that are sent, as middleware of `App.sending`."""
        ...

    def attempt(self, begun: BegunAttempt) -> ObservedAttempt:
        """Look at an attempt, in whose Trio task it is called, and so is its `end`."""
        ...

    def settlement(
        self,
        queue: str,
        count: int,
        attempts: Sequence[ObservedAttempt],
        worker: str,
        server: ServerAddress | None,
    ) -> ObservedSettlement:
        """Look at the writing of the outcomes of some attempts, in one call."""
        ...


class SendingApp(Protocol):
    """What `connect(..., app=)` takes: an `App`."""

    telemetry: Telemetry | None

    @property
    def sending_layers(self) -> tuple[Sender, ...]: ...


def check_telemetry(value: object) -> None:
    """Raise `ConfigError` for what is no telemetry."""
    if value is not None and not hasattr(value, "settlement"):
        raise ConfigError.of("telemetry", value, "an OpenTelemetry, or None")


def sending_layers(app: SendingApp | None, telemetry: Telemetry | None) -> tuple[Sender, ...]:
    """Return the middleware around what is sent, outermost first; raise `ConfigError` for no app.

    Telemetry is the innermost: it sees the metadata that the others have changed.
    """
    check_telemetry(telemetry)
    if app is not None and not hasattr(app, "sending_layers"):
        raise ConfigError.of("app", app, "an App, or None")
    layers = () if app is None else app.sending_layers
    telemetry = telemetry or (None if app is None else app.telemetry)
    return layers if telemetry is None else (*layers, telemetry.sending)
