"""SentryIntegration: what of an app and of its producers goes to Sentry.

Each attempt has an isolation scope of its own. Scopes are context variables, so they follow the handler
into its Trio tasks, and into the thread of a plain `def`. Failures are reported at the end of an attempt,
where it is known whether another one follows, with the scope that the handler has filled.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from typing import Any

import attrs
import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import Scope, use_isolation_scope
from sentry_sdk.tracing import Span, TransactionSource

from rediq_trio._errors import ConfigError
from rediq_trio.handlers.app import App
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.failed_attempt import FailedAttempt
from rediq_trio.sentry.check_ins import CheckIns
from rediq_trio.sentry.events import event_of
from rediq_trio.sentry.spans import (
    ORIGIN,
    RUNNING,
    RunningSpan,
    add_trace,
    note_received,
    note_sent,
)
from rediq_trio.values.bounds import check_flag
from rediq_trio.values.telemetry.sending import Sending

LOGGER = "rediq_trio"
"""The logger whose records are not sent: it logs each failure as well, with texts that `redact` has not
seen."""


class SentryIntegration:
    """Sends failures, traces and check-ins of schedules to Sentry, once `sentry_sdk.init` was called.

    With `only_final`, failures that another attempt may repair are not sent. With `check_ins`, each task
    of a schedule of the app checks in to a monitor, which is made of the schedule. Raises `ConfigError`.
    """

    def __init__(self, *, only_final: bool = True, check_ins: bool = True) -> None:
        check_flag("only_final", only_final)
        check_flag("check_ins", check_ins)
        self._only_final = only_final
        self._with_check_ins = check_ins

    def install(self, app: App[Any]) -> None:
        """Report what the workers and the producers of an app do; its middleware so far becomes inner.

        Raises `ConfigError` for a second integration of an app.
        """
        if not isinstance(app, App):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError.of("app", app, "an App")
        installed = _Installed(
            app, self._only_final, CheckIns(app) if self._with_check_ins else None
        )
        if any(
            getattr(one, "__self__", None).__class__ is _Installed for one in app._failure_reporters
        ):
            raise ConfigError("install: the app has a SentryIntegration already")
        ignore_logger(LOGGER)
        app.middleware(installed.around)
        app._middleware.insert(0, app._middleware.pop())
        app.sending(installed.sending)
        app._sending.insert(0, app._sending.pop())
        app._failure_reporters.append(installed.report)


@attrs.frozen(eq=False)
class _Installed:
    """An integration of one app."""

    app: App[Any]
    only_final: bool
    check_ins: CheckIns | None
    home: Scope = attrs.field(factory=sentry_sdk.get_isolation_scope)
    """The scope of the program, outside of any request."""

    async def around(self, task: CurrentTask) -> AsyncGenerator[None]:
        """Run an attempt in a scope of its own, as a transaction."""
        if not sentry_sdk.get_client().is_active():
            yield
            return
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            transaction = sentry_sdk.continue_trace(
                dict(task.metadata), op="queue.task.rediq", name=task.type,
                source=TransactionSource.TASK, origin=ORIGIN,
            )  # fmt: skip
            if self.check_ins is not None:
                self.check_ins.begin(task)
            about = {"rediq_task": {"id": task.id, "type": task.type, "queue": task.queue}}
            with (
                sentry_sdk.start_transaction(transaction, custom_sampling_context=about),
                sentry_sdk.start_span(op="queue.process", name=task.type, origin=ORIGIN) as span,
            ):
                RUNNING.set(RunningSpan(task.id, scope, span))
                note_received(span, task)
                yield
            if self.check_ins is not None:
                self.check_ins.succeed(task)

    def sending(self, sending: Sending) -> Generator[None]:
        """Record a span of the tasks that are sent, and put its trace into each of them.

        A program that records no transaction sends a trace, but no span: that of the request, or of any
        other scope that is isolated. Outside of one, each call has a trace of its own, as a program that
        lives long would have but one.
        """
        if not sentry_sdk.get_client().is_active():
            yield
            return
        with ExitStack() as stack:
            transaction: Any = None
            if sending.route == "tick":
                # Nobody has called: else all ticks of a worker were one trace.
                stack.enter_context(sentry_sdk.isolation_scope()).set_new_propagation_context()
                transaction = stack.enter_context(
                    sentry_sdk.start_transaction(
                        op="queue.schedule.rediq", name=sending.name or "",
                        source=TransactionSource.TASK, origin=ORIGIN,
                    )
                )  # fmt: skip
            elif self._nobody_called():
                stack.enter_context(sentry_sdk.isolation_scope()).set_new_propagation_context()
            span: Span | None = None
            if sentry_sdk.get_current_span() is not None:
                name = sending.name or sending.tasks[0].type
                span = stack.enter_context(
                    sentry_sdk.start_span(op="queue.publish", name=name, origin=ORIGIN)
                )
                note_sent(span, sending)
            for task in sending.tasks:
                add_trace(task, span)
            yield
            if sending.dropped and transaction is not None:
                transaction.sampled = False

    def _nobody_called(self) -> bool:
        """Return whether the trace at hand is that of the whole program."""
        if sentry_sdk.get_current_span() is not None:
            return False
        scope = sentry_sdk.get_isolation_scope()
        context = scope.get_active_propagation_context()
        return scope is self.home and context.parent_span_id is None

    def report(self, failed: FailedAttempt) -> None:
        """Send a failed attempt; called in its Trio task, after `around`."""
        if not sentry_sdk.get_client().is_active():
            return
        if failed.final and self.check_ins is not None:
            self.check_ins.fail(failed)
        if self.only_final and not failed.final:
            return
        running = RUNNING.get(None)
        with ExitStack() as stack:
            if running is None or running.task_id != failed.id:
                stack.enter_context(sentry_sdk.isolation_scope())
            else:
                stack.enter_context(use_isolation_scope(running.scope))
                stack.enter_context(sentry_sdk.new_scope()).span = running.span
            event, hint = event_of(failed)
            sentry_sdk.capture_event(event, hint)
