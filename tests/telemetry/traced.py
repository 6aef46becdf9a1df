"""An `OpenTelemetry` whose spans and metrics are kept in memory, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rediq_trio.telemetry import OpenTelemetry


@attrs.frozen
class Row:
    """What a test compares of a span."""

    name: str
    kind: str
    links: int = 0
    outcome: str | None = None
    error: str | None = None
    child: bool = False


@attrs.define
class Traced:
    """Telemetry, and what it exported."""

    options: Mapping[str, bool] = attrs.field(factory=dict[str, bool])
    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    provider: TracerProvider = attrs.field(factory=lambda: TracerProvider(shutdown_on_exit=False))
    telemetry: OpenTelemetry = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = OpenTelemetry(self.provider, meters, **self.options)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Return the spans that ended, in that order, or those whose names begin so."""
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(name)]

    def span(self, name: str) -> ReadableSpan:
        """Return the one span of a name."""
        (found,) = self.spans(name)
        return found

    def rows(self) -> list[Row]:
        """Return what the table of each test says of the spans."""
        return [row_of(span) for span in self.spans()]

    def metrics(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Return the points of a metric by their attributes: a sum, or the count of a histogram."""
        found: dict[frozenset[tuple[str, Any]], Any] = {}
        data = self.reader.get_metrics_data()
        assert data is not None
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in (each for each in scope.metrics if each.name == name):
                    for point in metric.data.data_points:
                        key = frozenset((point.attributes or {}).items())
                        found[key] = getattr(point, "value", None) or getattr(point, "count", None)
        return found


def row_of(span: ReadableSpan) -> Row:
    attributes = span.attributes or {}
    error = attributes.get("error.type")
    assert (error is not None) == (span.status.status_code.name == "ERROR")
    return Row(
        span.name,
        span.kind.name,
        len(span.links),
        str(attributes["rediq.outcome"]) if "rediq.outcome" in attributes else None,
        None if error is None else str(error),
        child=span.parent is not None,
    )


def context_of(span: ReadableSpan) -> tuple[int, int]:
    """Return the trace and the id of a span."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def links_of(span: ReadableSpan) -> list[tuple[int, int]]:
    """Return the trace and the span of each link."""
    return [(link.context.trace_id, link.context.span_id) for link in span.links]
