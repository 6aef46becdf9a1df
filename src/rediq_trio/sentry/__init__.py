"""Sentry: failures, traces and check-ins of schedules. It needs the extra `sentry`."""

from __future__ import annotations

from rediq_trio._errors import ConfigError

try:
    from rediq_trio.sentry.integration import SentryIntegration
except ModuleNotFoundError as missing:
    if missing.name != "sentry_sdk":
        raise
    raise ConfigError(
        "rediq_trio.sentry: needs the extra `sentry`: pip install 'rediq-trio[sentry]'"
    ) from missing

__all__ = ["SentryIntegration"]
