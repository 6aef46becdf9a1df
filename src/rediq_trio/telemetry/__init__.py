"""Telemetry: traces and metrics by the conventions of OpenTelemetry. Needs the extra `otel`."""

from rediq_trio.telemetry.open_telemetry import OpenTelemetry as OpenTelemetry

__all__ = ["OpenTelemetry"]
