"""OpenTelemetry: what an app or a client takes as its `telemetry`. It imports OpenTelemetry when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rediq_trio._errors import ConfigError
from rediq_trio.values.telemetry.port import BegunAttempt, ObservedAttempt, ObservedSettlement
from rediq_trio.values.telemetry.sending import Sending, ServerAddress

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


class OpenTelemetry:
    """Traces and metrics of an app or a client: `App(telemetry=OpenTelemetry())`.

    They follow version 1.44.0 of the semantic conventions for messaging, which are still in
    development. The context of a trace travels in the metadata of tasks, as the propagator of
    `opentelemetry.propagate` writes it; metadata that have one already keep it.

    The providers default to the global ones, also to those that are set later. Without an SDK nothing is
    recorded. With `parent`, the span of an attempt is a child of the span that sent its task, instead
    of one that links to it; a batch always links to its members. With `settle_spans`, each call
    that writes outcomes has a span. Without `create_spans`, the tasks of one `enqueue_many`
    or of one workflow have the span of the whole as their context, instead of one each.

    Nothing that fails in it fails a task or a call; it is logged once. Raises `ConfigError` without
    the extra `otel`, and for a bad argument.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        parent: bool = False,
        settle_spans: bool = False,
        create_spans: bool = True,
    ) -> None:
        switches = {"parent": parent, "settle_spans": settle_spans, "create_spans": create_spans}
        for name, value in switches.items():
            if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError.of(name, value, "True or False")
        providers = {
            "tracer_provider": (tracer_provider, "get_tracer"),
            "meter_provider": (meter_provider, "get_meter"),
        }
        for name, (provider, method) in providers.items():
            if provider is not None and not hasattr(provider, method):
                raise ConfigError.of(name, provider, f"an object with {method}(), or None")
        try:
            # Imported late, because it needs an extra.
            from rediq_trio.telemetry.instruments import Instruments
            from rediq_trio.telemetry.processing import ProcessSpan, SettleSpan
            from rediq_trio.telemetry.producing import send_span
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "opentelemetry":
                raise
            raise ConfigError(
                "OpenTelemetry() needs the extra `otel`: pip install 'rediq-trio[otel]'"
            ) from error
        self._instruments = Instruments(tracer_provider, meter_provider)
        self._parent = parent
        self._settle_spans = settle_spans
        self._create_spans = create_spans
        self._process_span, self._settle_span = ProcessSpan, SettleSpan
        self._send_span = send_span

    def sending(self, sending: Sending) -> AbstractContextManager[Any]:
        """Open the spans of tasks that are sent. An app or a client calls it."""
        return self._send_span(self._instruments, sending, create_spans=self._create_spans)

    def attempt(self, begun: BegunAttempt) -> ObservedAttempt:
        """Open the span of an attempt. A worker calls it."""
        return self._process_span(self._instruments, begun, parent=self._parent)

    def settlement(
        self,
        queue: str,
        count: int,
        attempts: Sequence[ObservedAttempt],
        worker: str,
        server: ServerAddress | None,
    ) -> ObservedSettlement:
        """Measure the writing of outcomes, and open its span. A worker calls it."""
        return self._settle_span(
            self._instruments,
            queue,
            count,
            attempts if self._settle_spans else None,
            worker,
            server,
        )
