"""The mutants of the Python: each plants one bug, by a change of a few lines in one module.

For each module, the tests that are to notice, and rows of `(name, what breaks, exact old text,
new text)`. A row may end with tests of its own. The old text stands in the module exactly once,
which a test of the normal suite holds. `python -m tests.python_mutants` runs them.

Nothing here imports the library: each mutant is imported by a process of its own.
"""

# ruff: noqa: E501  (a table: one mutant, one line)
from __future__ import annotations

from collections.abc import Iterator

import attrs


@attrs.frozen
class PythonMutant:
    """One bug, and the tests that are to notice it."""

    name: str
    path: str
    """The module's file, within the package."""
    breaks: str
    """What is wrong with the bug in it."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Files of tests, or ids of tests, in the order in which they are run."""
    hangs: bool = False
    """Whether a test hangs with the bug, which is how it is noticed."""


_Row = tuple[str, str, str, str] | tuple[str, str, str, str, str]
HANG = frozenset(
    {
        "workflow-purged-counts-as-running",
        "lifespan-left-without-bound",
        "rate-waits-due-for-ever",
    }
)
"""Mutants whose test is about an endless wait or loop, and hangs with them."""

_TABLE: tuple[tuple[str, str, tuple[_Row, ...]], ...] = (
    (
        "worker/heartbeat.py",
        "actors/test_heartbeat.py",
        (
            ("heartbeat-renews-first-batch-only", "lost leases", "        for i in range(0, len(leases), BATCH):\n            await self._renew_some(queue, leases[i : i + BATCH])", "        await self._renew_some(queue, leases[:BATCH])"),
            ("heartbeat-safe-from-answer", "two attempts at once", "held.safe_until = asked_at + self.lease - margin(self.lease)", "held.safe_until = trio.current_time() + self.lease - margin(self.lease)"),
            ("heartbeat-no-margin-on-renewal", "two attempts at once", "held.safe_until = asked_at + self.lease - margin(self.lease)", "held.safe_until = asked_at + self.lease"),
            ("heartbeat-lost-in-backlog-not-cancelled", "two attempts at once", "is held:\n                    self._mark_lost(held)", "is held and held.scope is not None:\n                    self._mark_lost(held)"),
            ("heartbeat-cancel-in-backlog-unheard", "a cancel", "if verdict is Verdict.CANCEL:", "if verdict is Verdict.CANCEL and held.scope is not None:"),
            ("heartbeat-resync-ignored", "a cancel", "if signal.kind in (SignalKind.FLUSH, SignalKind.RESYNC):", "if signal.kind is SignalKind.FLUSH:"),
            ("heartbeat-flush-ignored", "a flush", "if signal.kind in (SignalKind.FLUSH, SignalKind.RESYNC):", "if signal.kind is SignalKind.RESYNC:"),
            ("heartbeat-cancel-signal-ignored", "a cancel", "if signal.kind is SignalKind.CANCEL:", "if signal.kind is SignalKind.PROGRESS:"),
            ("heartbeat-any-cancel-renews-all", "calls", "return () if held is None else (held,)", "return list(self.lease_table)"),
            ("heartbeat-settled-called-lost", "a log line", "if not held.settled and self.lease_table", "if self.lease_table"),
            ("heartbeat-clock-not-watched", "two attempts at once", "if held.safe_until <= now and not held.over:", "if False:"),
            ("heartbeat-record-expires-early", "the list of workers", "round(self.interval * RECORD_BEATS * 1000)", "round(self.interval * RECORD_BEATS * 100)"),
            ("heartbeat-record-unwritten", "the list of workers", "            orders = await self.store.register(record)\n", "            orders = ()\n"),
            ("heartbeat-ends-when-a-signal-finds-redis-away", "the worker", "            except ConnectionLost as lost:\n                # The next beat renews them.\n", "            except ConnectionLost as lost:\n                raise\n"),
            ("heartbeat-lost-lease-renewed", "calls", "leases = [held for held in chosen if not held.over]", "leases = list(chosen)"),
            ("heartbeat-cancel-verdict-not-renewed", "lost leases", "            else:\n                held.safe_until", "            elif verdict is not Verdict.CANCEL:\n                held.safe_until"),
            ("heartbeat-beats-half-as-often", "lost leases", "            await trio.sleep(self.interval)\n", "            await trio.sleep(self.interval * 2)\n"),
        ),
    ),
    (
        "worker/reporting/record.py",
        "worker/test_worker_record.py",
        (
            ("record-progress-always-shown", "encryption", "held.percent if self.shows_progress else None", "held.percent"),
            ("record-since-the-heartbeat", "running tasks", "now - dt.timedelta(seconds=here - held.started) if held.started else now", "now"),
            ("record-labels-twice", "settings", '    del found["labels"]\n', ""),
        ),
    ),
    (
        "tasks/worker_details.py",
        "tasks/test_worker_details.py",
        (
            ("details-any-number-of-tasks", "a bounded record", "tasks[:RUNNING_MAX]", "tasks"),
            ("details-any-number-of-reasons", "a bounded record", "health.reasons[:HEALTH_REASONS_MAX]", "health.reasons"),
            ("details-one-bad-spoils-all", "newer records", "except (TypeError, ValueError, OverflowError, OSError):\n        return None", "except ZeroDivisionError:\n        return None"),
            ("details-more-fields-refused", "newer records", "_task(*each[:5])", "_task(*each)"),
        ),
    ),
    (
        "worker/leases.py",
        "actors/test_leases.py",
        (
            ("leases-old-attempt-lives-on", "two attempts at once", "                old.cancel(Reason.LEASE_LOST)\n", "                pass\n"),
            ("leases-drop-drops-the-newer", "a lost lease", "        if self._held.get(held.key) is held:\n            del self._held[held.key]", "        self._held.pop(held.key, None)"),
            ("leases-no-margin-on-claim", "two attempts at once", "safe_until = asked_at + length - margin(length)", "safe_until = asked_at + length"),
            ("leases-last-reason-wins", "outcomes", "        if self.reason is None:\n            self.reason = reason\n", "        if self.reason is None or reason is Reason.SHUTDOWN:\n            self.reason = reason\n", "actors/test_executor.py"),
            ("leases-clock-offset-from-wall-clock", "deadlines", "clock_offset = (leases[0].lease_ms - round(length * 1000)) / 1000 - asked_at", "clock_offset = __import__('time').time() - asked_at", "worker/test_deadline.py"),
            ("leases-deadline-does-not-limit", "deadlines", "            limit = min(limit, self.trio_time(self.deadline_ms))\n", "            pass\n", "worker/test_deadline.py"),
            ("leases-offset-from-answer", "deadlines", "/ 1000 - asked_at", "/ 1000 - trio.current_time()"),
            ("leases-expiry-of-lost-counts", "a busy loop", "(h.safe_until for h in self._held.values() if not h.over)", "(h.safe_until for h in self._held.values())"),
            ("leases-cancelled-early-runs-on", "a cancel", "        if self.reason is not None:\n            scope.cancel(reason=self.reason.value)\n", "", "actors/test_executor.py actors/test_attempt.py actors/test_leases.py"),
            ("leases-timeout-called-deadline", "errors", "return Reason.DEADLINE if first else Reason.TIMEOUT", "return Reason.DEADLINE", "worker/test_deadline.py"),
            ("leases-dropped-announces-no-room", "throughput", "            del self._held[held.key]\n        self.announce_room()", "            del self._held[held.key]", "actors/test_poller.py"),
            ("leases-timeout-has-no-reason", "cancel_reason", "if self.reason is None and self.time_left() <= 0:", "if False:", "worker/test_crash.py"),
        ),
    ),
    (
        "worker/poller.py",
        "actors/test_poller.py",
        (
            ("poller-deaths-in-silence", "the log", "                    self.report_deaths(queue, claimed.deaths)\n", "                    pass\n"),
            ("poller-one-too-many", "concurrency", "free = self.prefetch.capacity() + self.lease_table", "free = 1 + self.prefetch.capacity() + self.lease_table"),
            ("poller-partitions-take-no-turns", "fairness", "first = self._rounds % len(partitions)", "first = 0", "tasks/test_partitions.py"),
            ("poller-poll-forgets-others", "lateness", "            self._ready.update(partition for partition, at in self._next_polls.items() if at <= now)\n", ""),
            ("poller-resync-ignored", "lateness", "if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):", "if signal.kind is not SignalKind.WAKE:"),
            ("poller-weights-count-asked", "weights", "shares.took(queue, count)", "shares.took(queue, part)"),
            ("poller-claim-not-limited-by-stop", "a slow stop", "            scope.deadline = trio.current_time() + seconds\n", "            pass\n", "actors/test_poller.py"),
            ("poller-claim-unshielded", "stuck tasks", "trio.CancelScope(shield=True, deadline=asked_at", "trio.CancelScope(deadline=asked_at"),
            ("poller-claim-without-deadline", "a hang", "scope = trio.CancelScope(shield=True, deadline=asked_at + CLAIM_DEADLINE)", "scope = trio.CancelScope(shield=True)", "actors/test_poller.py::test_a_claim_that_is_never_answered_is_given_up_and_made_again"),
            ("poller-strict-order-goes-on", "strict order", "            _, more = await self._claim(queue, free, nursery)\n            if more:\n", "            _, more = await self._claim(queue, free, nursery)\n            if False:\n"),
            ("poller-claims-while-enough-waits", "other workers", "self._free() <= 0 or self.waiting() > self.prefetch.ahead() // 2", "self._free() <= 0"),
            ("poller-wake-ignored", "lateness", "if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):", "if signal.kind is not SignalKind.RESYNC:"),
            ("poller-any-signal-wakes", "calls", "        if signal.kind not in (SignalKind.WAKE, SignalKind.RESYNC):\n            return False\n", ""),
            ("poller-empty-queue-stays-ready", "calls", "            self._ready.discard(partition)\n", "            pass\n"),
            ("poller-full-queue-not-ready", "lateness", "        if not more:\n            # A task", "        if True:\n            # A task"),
            ("poller-newer-warned-each-time", "the log", "            self._newer_reported.add(queue)\n", "            pass\n", "worker/test_newer.py"),
            ("poller-payload-sizes-unrecorded", "memory", "                    self.prefetch.record_claim([size_of(lease.envelope) for lease in leases])\n", ""),
            ("poller-partitions-over-limit", "concurrency", "self._claim_patiently(partition, limit - count, claim, nursery)", "self._claim_patiently(partition, limit, claim, nursery)", "actors/test_poller.py tasks/test_partitions.py"),
            ("poller-weights-never-even-out", "weights", "            shares.even_out(full)\n", "            pass\n", "actors/test_poller.py"),
            ("poller-leases-not-handed-over", "stuck tasks", "                    self.leases.send_nowait(held)\n", ""),
            ("poller-weighted-round-never-ends", "other queues", "free = min(left, self._free())", "free = self._free()", "actors/test_poller.py::test_with_weights_a_queue_whose_tasks_end_at_once_keeps_no_other_from_its_share"),
            ("poller-answer-during-a-round-forgotten", "lateness", "                    self._sleep = trio.CancelScope()\n                    if await self._round(nursery):\n", "                    if await self._round(nursery):\n                        self._sleep = trio.CancelScope()\n", "actors/test_poller.py::test_a_task_that_comes_while_a_slow_claim_is_under_way_is_not_forgotten"),
            ("poller-rate-not-recorded", "limits", "                self._rate_waits.record(queue, claimed.next_in_ms)\n", ""),
            ("poller-rate-slept-over", "limits", "self._rate_waits.limit_sleep(self._longest_wait())", "self._longest_wait()"),
            ("poller-rate-not-polled", "limits", "        self._ready |= self._rate_waits.take_due()\n", "        self._rate_waits.take_due()\n"),
        ),
    ),
    (
        "worker/availability/rate_waits.py",
        "actors/test_poller.py",
        (
            ("rate-waits-never-forgotten", "calls", "            self._starts_at.pop(partition, None)\n", "            pass\n"),
            ("rate-waits-due-for-ever", "a busy loop", "            del self._starts_at[partition]\n", "            pass\n"),
            ("rate-waits-in-seconds", "limits", "next_in_ms / 1000", "next_in_ms"),
            ("rate-waits-not-yet-due", "calls", "if at <= now}", "if at > 0}"),
        ),
    ),
    (
        "worker/executor.py",
        "actors/test_executor.py",
        (
            ("executor-context-leaks", "context variables", "self._context.run(self._nursery.start_soon, self._attempt, held)", "self._nursery.start_soon(self._attempt, held)"),
            ("executor-one-too-many", "concurrency", "len(self._running) < most", "len(self._running) <= most"),
            ("executor-starts-while-stopping", "a slow stop", "                if self.lease_table.shutting_down:\n", "                if False:\n"),
            ("executor-settles-twice", "outcomes", "        if not held.settled:\n", "        if True:\n"),
            ("executor-shutdown-called-a-cancel", "outcomes", "held.cancel(Reason.SHUTDOWN)", "held.cancel(Reason.CANCELLED)", "cli/test_run.py"),
            ("executor-unstarted-kept", "other workers", "                        watching.start_soon(self._return_unstarted)\n", ""),
            ("executor-unstarted-unrecorded", "other workers", "                    self.prefetch.record_unstarted()\n", ""),
            ("executor-next-not-started", "throughput", "            self._start(now)\n            self.lease_table.announce_room()", "            self.lease_table.announce_room()"),
            ("executor-duration-unrecorded", "prefetch", "            self.prefetch.record_attempt(now - held.started)\n", "", "actors/test_executor.py actors/test_prefetch.py test_budgets.py"),
            ("executor-running-never-forgotten", "throughput", "            self._running.pop(held, None)\n", ""),
            ("executor-released-only-once-set", "outcomes", "            held.settled = True\n", ""),
            ("executor-order-reversed", "order", "held, _ = self._backlog.popleft()\n            if held.is_over", "held, _ = self._backlog.pop()\n            if held.is_over", "actors/test_executor.py test_client.py::test_priorities_decide_who_is_first"),
        ),
    ),
    (
        "worker/attempt.py",
        "actors/test_executor.py actors/test_attempt.py",
        (
            ("attempt-system-exit-ends-worker", "the worker", "                except BaseException as error:\n                    # SystemExit too: a handler", "                except Exception as error:\n                    # SystemExit too: a handler"),
            ("attempt-thread-abandoned", "threads", ", limiter=self.threads)", ", limiter=self.threads, abandon_on_cancel=True)", "actors/test_threads.py"),
            ("attempt-deadline-forgets-last-retry", "deadlines", "is_last = held.lease.attempt > held.lease.max_retry", "is_last = held.lease.attempt >= held.lease.max_retry", "worker/test_deadline.py"),
            ("attempt-middleware-skipped", "middleware", "        if layers := self.app.layers:\n            return self._through_layers(layers, held, task, call)\n", "", "test_client.py::test_layers_are_an_onion_and_an_error_in_one_fails_the_attempt"),
            ("attempt-bad-result-retried", "retries", "return failed(held, full_text(error), 0.0, final=True), error", "return failed(held, full_text(error), 0.0), error"),
            ("attempt-timeout-ignored", "timeouts", "math.inf if envelope.deadline_ms else envelope.timeout", "math.inf"),
            ("attempt-timeout-with-deadline-ignored", "timeouts", "held.limit_attempt(envelope.timeout)", "held.limit_attempt(math.inf)", "worker/test_deadline.py"),
            ("attempt-children-dropped", "children", "Completed(held.lease.fence, result, tuple(held.children), held.retention_ms)", "Completed(held.lease.fence, result, (), held.retention_ms)", "worker/test_children.py"),
            ("attempt-newer-task-fails", "upgrades", "return snoozed(held, NEWER_TASK_SNOOZE)", "return failed(held, str(error), 0.0, final=True)", "worker/test_newer.py"),
            ("attempt-newer-warned-each-time", "the log", "            self._newer_reported.add(held.queue)\n", "            pass\n", "worker/test_newer.py"),
            ("attempt-of-other-worker-runs", "two attempts at once", "        if (record.deliveries, record.nonce) != (held.fence.deliveries, held.fence.nonce):\n            return AttemptOutcome(held, None)\n", ""),
            ("attempt-past-deadline-runs", "deadlines", "if held.deadline_within(0.0):", "if False:", "worker/test_deadline.py"),
            ("attempt-shutdown-fails", "retries", "        case Reason.SHUTDOWN:\n            return released(held)", "        case Reason.SHUTDOWN:\n            return failed(held, \"shutdown\", 0.0)"),
            ("attempt-lost-lease-settles", "two attempts at once", "        case Reason.LEASE_LOST:\n            return AttemptOutcome(held, None)", "        case Reason.LEASE_LOST:\n            return released(held)"),
            ("attempt-interrupt-in-group-swallowed", "Ctrl-C", "        if isinstance(part, KeyboardInterrupt):\n            return part", "        if part is error and isinstance(part, KeyboardInterrupt):\n            return part"),
            ("attempt-unknown-type-retried", "retries", "        if self.unknown_types is None:\n            return failed(held, error_text(error), 0.0, final=True)", "        if self.unknown_types is None:\n            return failed(held, error_text(error), 0.0)"),
            ("attempt-unreadable-task-retried", "retries", "            outcome = failed(held, error_text(error), 0.0, final=True)", "            outcome = failed(held, error_text(error), 0.0)"),
            ("attempt-stored-cancelled-ends-worker", "the worker", "    if _scope_is_cancelled():\n        for part", "    if True:\n        for part"),
            ("attempt-threads-unlimited", "threads", ", limiter=self.threads)", ")", "actors/test_threads.py"),
            ("attempt-retry-after-deadline", "deadlines", "        if held.deadline_ms:\n            outcome = _within_deadline(outcome)\n", "", "worker/test_deadline.py"),
            ("attempt-scope-cancelled-counts-as-done", "outcomes", "        if scope.cancelled_caught:\n            outcome = _cancelled_outcome(held, envelope)\n", ""),
        ),
    ),
    (
        "worker/outcomes/error_text.py",
        "actors/test_executor.py actors/test_attempt.py",
        (
            ("attempt-error-uncut", "memory", "return text if len(text) <= most else text[: most - 3] + \"...\"", "return text"),
            ("attempt-str-of-error-raises", "the worker", "    except BaseException as broken:\n        # SystemExit too: no object", "    except LookupError as broken:\n        # SystemExit too: no object"),
        ),
    ),
    (
        "worker/outcomes/failure.py",
        "actors/test_executor.py actors/test_attempt.py",
        (
            ("attempt-group-of-one-kept", "retry rules", "while len(parts := group_members(error)) == 1:", "while len(parts := group_members(error)) == -1:"),
            ("attempt-reject-retried", "retries", "_beside(reject, members), MAX_ERROR_TEXT), 0.0, final=True)", "_beside(reject, members), MAX_ERROR_TEXT), 0.0)"),
            ("attempt-retry-delay-ignored", "retries", "backoff if retry.after is None else retry.after", "backoff"),
            ("attempt-snooze-fails", "retries", "        return snoozed(held, snooze.seconds)\n", "        return failed(held, error_text(error), snooze.seconds)\n"),
        ),
    ),
    (
        "worker/settler.py",
        "actors/test_settler.py",
        (
            ("settler-gives-up-when-answer-lost", "lost outcomes", "                await self.outages.wait_pause(queue)\n", "                return\n"),
            ("settler-rejected-keeps-slot", "concurrency", "            self._drop(held)\n\n    async def _settle_halves", "            if state is not None:\n                self._drop(held)\n\n    async def _settle_halves"),
            ("settler-too-large-stops-its-queue", "the queue", "            except PayloadTooLarge as error:\n                await self._settle_too_large", "            except PayloadTooLarge as error:\n                await self._settle_damaged", "redis/test_large_commands.py"),
            ("settler-lost-keeps-slot", "concurrency", "                self._drop(outcome.held)\n", ""),
            ("settler-counts-rejected-as-settled", "counts", "            if state is None:\n                self.outcome_counts.stale += 1\n", "            if state is None:\n                self.outcome_counts.settled[type(outcome)] += 1\n"),
            ("settler-counts-race", "counts", "                states = await self.store.settle(queue, [outcome for _, outcome in part])\n", "                before = self.outcome_counts.settled.copy()\n                states = await self.store.settle(queue, [outcome for _, outcome in part])\n                self.outcome_counts.settled = before\n"),
            ("settler-progress-overtaken", "progress", "            await self.flusher.flush(unwritten)\n", "            pass\n"),
            ("settler-limit-ignored", "a slow stop", "        self._stop_scope.deadline = trio.current_time() + seconds\n", "        pass\n"),
            ("settler-given-up-uncounted", "counts", "        self.outcome_counts.unsettled += len(self.lease_table)\n", ""),
            ("settler-children-do-not-count", "large calls", "weight = 1 + (len(item.children) if isinstance(item, messages.Completed) else 0)", "weight = 1"),
            ("settler-queues-one-after-another", "other queues", "nursery.start_soon(self._settle_waiting, queue)", "await self._settle_waiting(queue)"),
            ("settler-one-at-a-time", "throughput", "while len(batch) < OUTCOMES_AT_ONCE:", "while len(batch) < 1:"),
            ("settler-progress-kept-for-ever", "memory", "        self.flusher.forget(held)\n", ""),
            ("settler-split-drops-last-part", "lost outcomes", "    if part:\n        yield part\n", ""),
            ("settler-split-of-nothing-but-tasks", "large calls", "if len(items) <= BATCH and not any(held.children for held, _ in items):", "if len(items) <= BATCH:"),
            ("settler-lost-uncounted", "counts", "            if outcome.written is None:\n                self.outcome_counts.stale += 1\n", "            if outcome.written is None:\n"),
        ),
    ),
    (
        "worker/handler_call.py",
        "actors/test_executor.py test_bad_input.py",
        (
            ("handler-call-envelope-size-unchecked", "memory", "if len(packed) > most + ENVELOPE_OVERHEAD_MAX:", "if False:"),
            ("handler-call-batch-payload-size-unchecked", "memory", "payloads = [_payload(member, envelope, most) for", "payloads = [_payload(member, envelope, 2**29) for", "worker/test_groups.py"),
            ("handler-call-batch-timeout-of-first", "timeouts", "timeout=max(envelope.timeout for _, envelope in opened)", "timeout=first.timeout", "worker/test_groups.py"),
            ("handler-call-mixed-batch-runs", "batches", "    if others:\n", "    if False:\n", "worker/test_groups.py"),
            ("handler-call-aggregator-ignored", "batches", "    if aggregator is not None:\n", "    if False:\n", "worker/test_groups.py"),
            ("handler-call-aggregated-task-dropped", "batches", "return task.enqueue_after(cast(\"Task[Any]\", given)).id", "return given.id", "worker/test_groups.py"),
        ),
    ),
    (
        "worker/prefetch.py",
        "actors/test_prefetch.py actors/test_poller.py",
        (
            ("prefetch-bytes-of-last-claim", "memory", "1.0, self._mean_size + weight * (sum(sizes) / len(sizes) - self._mean_size)", "1.0, sum(sizes) / len(sizes)"),
            ("prefetch-claims-unbounded-bytes", "memory", "return max(1, min(BATCH, int(AHEAD_BYTES_MAX / self._mean_size)))", "return BATCH"),
            ("prefetch-claims-nothing-large", "large tasks", "return max(1, min(BATCH, int(AHEAD_BYTES_MAX / self._mean_size)))", "return min(BATCH, int(AHEAD_BYTES_MAX / self._mean_size))"),
            ("prefetch-ahead-unbounded-bytes", "memory", "return min(self._wanted(), int(AHEAD_BYTES_MAX / self._mean_size))", "return self._wanted()"),
            ("prefetch-fixed-ignored", "settings", "        if self.fixed is not None:\n            return self.fixed\n", "", "actors/test_prefetch.py actors/test_poller.py actors/test_executor.py"),
        ),
    ),
    (
        "worker/progress.py",
        "actors/test_progress.py actors/test_settler.py actors/test_last_progress.py",
        (
            ("progress-after-the-end-counts", "progress", "        if not attempt.settled:\n", "        if True:\n"),
            ("progress-refused-is-lost", "progress", "                reports.newest.setdefault(attempt, packed)\n", "                pass\n"),
            ("progress-older-replaces-newer", "progress", "reports.newest.setdefault(attempt, packed)", "reports.newest[attempt] = packed"),
            ("progress-under-way-counts-as-written", "progress", "one in reports.newest or one in reports.writing]", "one in reports.newest]"),
            ("progress-under-way-is-forgotten", "progress", "(not reports.newest and not reports.writing)", "not reports.newest"),
            ("progress-writes-overlap", "progress", "        async with reports.write_lock:\n", "        if True:\n"),
            ("progress-written-without-pause", "calls", "            await trio.sleep(self.interval)\n", "            await trio.sleep(0)\n"),
            ("progress-forget-forgets-nothing", "progress", "            reports.newest.pop(held, None)\n", "            pass\n"),
            ("progress-first-batch-only", "progress", "                for i in range(0, len(chosen), BATCH):\n", "                for i in range(0, min(1, len(chosen)), BATCH):\n"),
            ("progress-refused-is-not-tried-again", "progress", "        if reports.newest:\n            self._report_added.set()\n", ""),
            ("progress-never-noticed", "progress", "time.time())\n            self._report_added.set()\n", "time.time())\n"),
        ),
    ),
    (
        "worker/worker.py",
        "worker/test_stop.py worker/test_crash.py",
        (
            ("worker-clean-up-takes-twice-its-grace", "a slow stop", "with trio.move_on_after(settings.cleanup_grace / 2):", "with trio.move_on_after(settings.cleanup_grace * 2):"),
            ("worker-stop-does-not-limit-the-claim", "a slow stop", "            self.poller.limit_claim(self.settings.cleanup_grace / 2)\n", ""),
            ("worker-unconfirmed-outcomes-have-no-time", "stuck tasks", "        return max(limit, min(left, CONFIRMED_WRITE_MAX))", "        return limit", "ha/test_durability.py::test_a_worker_leaves_in_its_graces_and_hands_all_back_where_replicas_are_missing"),
            ("worker-stop-does-not-limit-the-settler", "a slow stop", "            self.settler.limit(self._settle_limit())\n", "            self.settler.limit(30.0)\n", "worker/test_stop.py actors/test_health.py"),
            ("worker-stop-starts-the-backlog", "a slow stop", "        self.executor.release_unstarted()\n        idle", "        idle", "worker/test_stop.py cli/test_run.py"),
            ("worker-shielded-task-is-not-given-back", "stuck tasks", "            self.executor.release_running()\n", "            pass\n"),
            ("worker-shutdown-grace-ignored", "graceful stops", "            self._grace.deadline = trio.current_time() + self._shutdown_grace\n", "            self._grace.deadline = trio.current_time()\n", "worker/test_stop.py worker/test_crash.py cli/test_run.py"),
            ("worker-handlers-do-not-see-the-stop", "graceful stops", "            self.lease_table.shutting_down = True\n", ""),
            ("worker-record-stays", "the list of workers", "await self.store.unregister(self._record_id)\n", "pass\n", "cli/test_run.py test_client.py::test_workers_are_listed_while_they_live"),
            ("worker-crash-unnamed", "errors", "raise WorkerCrashed(f\"{type(cause).__name__}: {cause}\") from cause", "raise"),
            ("worker-crash-loses-outcomes", "lost outcomes", "            with crash:\n                await self._executing()", "            if True:\n                await self._executing()"),
        ),
    ),
    (
        "worker/health.py",
        "actors/test_health.py",
        (
            ("health-connected-if-any-answers", "probes", "connected = answered >= max(liveness.failed_at", "connected = answered >= min(liveness.failed_at"),
            ("health-heartbeat-unjudged", "probes", "            \"heartbeat\": self.heartbeat.liveness,\n", ""),
            ("health-ready-when-stopped", "probes", "        if self.stopping.is_set():\n            yield", "        if self.stopping.is_set() and not self.finished.is_set():\n            yield"),
            ("health-ready-while-stopping", "probes", "        if self.stopping.is_set():\n            yield", "        if self.finished.is_set():\n            yield"),
            ("health-ready-without-beats", "probes", "if now - self.heartbeat.last_beat > self.lease:", "if False:"),
            ("health-ready-without-polls", "probes", "if now - polled > POLL_OVERDUE:", "if False:"),
            ("health-alive-with-a-hanging-actor", "probes", "            if late > ACTOR_OVERDUE:\n", "            if False:\n"),
            ("health-unready-at-once", "probes", "if not connected and away > REDIS_AWAY_MAX:", "if not connected:"),
            ("health-poller-judged-while-stopping", "probes", "return found if self.stopping.is_set() else", "return"),
            ("health-full-poller-is-overdue", "probes", "polled = max(self.poller.answered_at, self.poller.idle_at)", "polled = self.poller.answered_at"),
        ),
    ),
    (
        "worker/shares.py",
        "worker/test_shares.py",
        (
            ("shares-remainder-lost", "weights", "        for _ in range(room - sum(parts.values())):\n", "        for _ in range(0):\n"),
            ("shares-unused-share-is-kept", "weights", "(level if queue in full else max(level, height)) - least", "level - least"),
            ("shares-weights-ignored", "weights", "self._levels[queue] += count / self._weights[queue]", "self._levels[queue] += count"),
        ),
    ),
    (
        "worker/keeping/declarer.py",
        "worker/test_declaring.py",
        (
            ("declarer-old-schedules-stay", "schedules", ", now) >= REMOVAL_GRACE:", ", now) >= float(\"inf\"):"),
        ),
    ),
    (
        "worker/keeping/keeper.py",
        "actors/test_keeper.py",
        (
            ("keeper-deaths-in-silence", "the log", "            self.report_deaths(queue, due.deaths)\n", "            pass\n"),
            ("keeper-refused-in-silence", "the log", "report=self.report_refused", "report=lambda _: None", "worker/test_children.py::test_a_child_that_another_queue_refuses_is_reported"),
            ("keeper-lost-call-ends-the-keeper", "other queues", "            self.outages.record_failure(queue, lost)\n", "            raise\n"),
            ("keeper-resync-forgets-delays", "lateness", "SignalKind.RESYNC: (\"promote\", \"unblock\"", "SignalKind.RESYNC: (\"unblock\""),
            ("keeper-resync-forgets-ticks", "lateness", "\"relay\", \"batch\", \"tick\"),", "\"relay\", \"batch\"),"),
            ("keeper-resync-forgets-dependents", "lateness", "SignalKind.RESYNC: (\"promote\", \"unblock\", \"relay\"", "SignalKind.RESYNC: (\"promote\", \"relay\""),
            ("keeper-due-signal-ignored", "lateness", "    SignalKind.DUE: (\"promote\",),\n", ""),
            ("keeper-mail-signal-ignored", "lateness", "    SignalKind.MAIL: (\"unblock\", \"relay\"),\n", "    SignalKind.MAIL: (\"unblock\",),\n"),
            ("keeper-endings-signal-ignored", "lateness", "    SignalKind.MAIL: (\"unblock\", \"relay\"),\n", "    SignalKind.MAIL: (\"relay\",),\n"),
            ("keeper-tick-signal-ignored", "lateness", "    SignalKind.TICK: (\"tick\",),\n", "", "actors/test_ticker.py"),
            ("keeper-group-signal-ignored", "lateness", "    SignalKind.GROUP: (\"batch\",),\n", "", "worker/test_groups.py"),
            ("keeper-due-instant-ignored", "lateness", "delay = math.inf if due.next_in_ms is None else (due.next_in_ms + 1) / 1000", "delay = math.inf"),
            ("keeper-idle-wakes-to-one-duty", "lateness", "was_idle = queue_duties.leave_idle()", "was_idle = False"),
            ("keeper-full-queue-rests", "lateness", "        if any(stats.sizes.values()):\n            return False\n", ""),
            ("keeper-never-rests", "calls", "        if any(stats.sizes.values()):\n", "        if True:\n"),
            ("keeper-rest-is-not-looked-at", "lateness", "self.recheck_at = trio.current_time() + every * random.uniform(0.8, 1.0)", "self.recheck_at = math.inf"),
            ("keeper-lapses-found-late", "lateness", "\"reclaim\": _Duty(lambda: store.reclaim(queue, limit=most), RECLAIM_MAX_SLEEP)", "\"reclaim\": _Duty(lambda: store.reclaim(queue, limit=most), SIGNALLED_MAX_SLEEP)"),
            ("keeper-one-queue-at-a-time", "other queues", "QUEUES_AT_ONCE = 32", "QUEUES_AT_ONCE = 1"),
            ("keeper-retries-without-pause", "calls", "trio.current_time() + self.outages.pause(queue)", "trio.current_time()"),
            ("keeper-dead-kept-for-ever", "memory", "\"dead_retention_ms\": round(self.dead_retention * 1000)", "\"dead_retention_ms\": 10**15"),
            ("keeper-waits-for-receivers", "lateness", "        with trio.move_on_after(RELAY_PATIENCE):\n            await ended.wait()", "        await ended.wait()", "actors/test_keeper.py::test_messages_to_a_queue_that_is_away_delay_no_duty_of_their_own"),
        ),
    ),
    (
        "worker/keeping/batcher.py",
        "actors/test_batcher.py worker/test_groups.py",
        (
            ("batcher-forgets-groups-that-come-meanwhile", "batches", "self._signalled -= signalled", "self._signalled.clear()"),
            ("batcher-group-signal-ignored", "batches", "            self._signalled.add(signal.id)\n", "            pass\n"),
            ("batcher-never-scans", "batches", "if self._scan_at <= trio.current_time():", "if False:"),
            ("batcher-resync-does-not-scan", "batches", "            self._scan_at = 0.0\n", "            pass\n"),
        ),
    ),
    (
        "worker/keeping/ticker.py",
        "actors/test_ticker.py",
        (
            ("ticker-drops-the-rest", "schedules", "            next_ms=next_ms or 0,\n", "            next_ms=0,\n"),
            ("ticker-large-tasks-come-together", "memory", "most = max(1, min(TICKS_PER_STEP, TICK_BYTES_PER_STEP // size))", "most = TICKS_PER_STEP"),
            ("ticker-bad-schedule-reported-each-time", "the log", "            self._reported.add((queue, name, when))\n", ""),
            ("ticker-bad-schedule-stops-others", "schedules", "            except (ConfigError, PayloadError) as error:\n", "            except ZeroDivisionError as error:\n"),
        ),
    ),
    (
        "worker/outcomes/deaths.py",
        "actors/test_deaths.py",
        (
            ("deaths-left-at-the-end", "the log", "            for queue, death in self._unlogged:\n                self._log(queue, death, UNREADABLE_TEXT)\n", "            pass\n"),
            ("deaths-wait-for-ever", "the log", "READ_WITHIN = 2.0", "READ_WITHIN = 1e9"),
            ("deaths-end-when-redis-is-away", "the worker", "            except RediqError:\n", "            except ZeroDivisionError:\n"),
            ("deaths-read-though-only-counted", "calls", "if admits else \"\"", "if True else \"\""),
            ("deaths-name-a-partition", "the log", "\"queue\": queue_of(queue)", "\"queue\": queue"),
        ),
    ),
    (
        "wire/structuring.py",
        "handlers/test_converters.py",
        (
            ("converters-for-themselves-only", "converters", "return issubclass(kind, self._types)", "return kind in self._types"),
            ("converters-return-anything", "converters", "if isinstance(kind, type) and not isinstance(value, kind):", "if False:"),
            ("converters-carry-anything", "converters", "        pack_value(plain, what=\"it\")\n", "        pass\n"),
            ("converters-of-results-forgotten", "converters", "annotation, conversions = annotation.annotation, annotation.conversions", "annotation = annotation.annotation"),
            ("converters-twice-for-a-type", "converters", "if one.type in self._types:", "if False:"),
        ),
    ),
    (
        "handlers/context.py",
        "handlers/test_context.py",
        (
            ("context-clean-up-without-end", "a slow stop", "trio.move_on_after(self._services.cleanup_grace, shield=True)", "trio.CancelScope(shield=True)"),
            ("context-clean-up-unshielded", "clean-ups", "(self._services.cleanup_grace, shield=True)", "(self._services.cleanup_grace)", "handlers/test_context.py worker/test_injection.py"),
            ("context-message-uncut", "memory", "message if message is None else message[:MAX_MESSAGE]", "message"),
            ("context-size-of-last-child-only", "large calls", "        self._children_size = size\n", "        self._children_size = len(one.new.envelope)\n", "worker/test_children.py"),
            ("context-child-payload-unbounded", "large calls", "            check_size(task.payload, self.client._max_payload, what=\"payload\")\n        one = prepare(task, self.client._max_payload)", "            pass\n        one = prepare(task, 2**29)", "worker/test_children.py::test_a_bad_child_fails_the_attempt_where_it_is_named"),
            ("context-children-uncounted", "large calls", "if len(self._attempt.children) >= MAX_CHILDREN:", "if False:", "worker/test_children.py"),
            ("context-child-stays-in-its-parents-queue", "children", "        if task.queue != self._attempt.queue:\n            relations", "        if False:\n            relations", "worker/test_children.py"),
            ("context-percent-unchecked", "progress", "        check_number(\"percent\", percent, 0, 100)\n", "", "test_bad_input.py::test_progress_out_of_its_bounds_fails_the_attempt"),
        ),
    ),
    (
        "handlers/steps.py",
        "handlers/test_steps.py",
        (
            ("steps-none-counts-as-missing", "once", "            if step not in known:\n", "            if step not in known or unpack_value(known[step]) is None:\n"),
            ("steps-read-by-attempt", "once", "if self._attempt.fence.deliveries > 1 else None", "if self._attempt.lease.attempt > 1 else None", "worker/test_once.py"),
            ("steps-stale-lease-keeps", "once", "        if not kept:\n", "        if False:\n", "handlers/test_steps.py worker/test_once.py"),
            ("steps-two-calls-at-a-time", "once", "async with self._locks.setdefault(step, trio.Lock()):", "if True:"),
        ),
    ),
    (
        "serve.py",
        "test_serve.py",
        (
            ("serve-idle-ignores-retries", "bursts", "if stats.pending or stats.active or stats.retry:", "if stats.pending or stats.active:"),
            ("serve-idle-ignores-pending", "bursts", "if stats.pending or stats.active or stats.retry:", "if stats.active or stats.retry:", "cli/test_run.py::test_a_burst_ends_by_itself test_serve.py"),
            ("serve-replicas-dropped", "durability", "durability=Durability.of(settings.durability, settings.replicas)", "durability=Durability.of(settings.durability)"),
            ("serve-response-timeout-longer-than-lease", "lost leases", "response_timeout=min(RESPONSE_TIMEOUT, max(1.0, settings.lease))", "response_timeout=RESPONSE_TIMEOUT"),
            ("serve-idle-ignores-messages", "bursts", "await self._has_no_work() and await self._has_no_messages()", "await self._has_no_work()", "test_serve.py::test_a_burst_waits_for_messages_to_other_queues"),
            ("serve-encryption-dropped", "encryption", "store = encrypt_store(clear, encryption)", "store = clear", "security/test_encryption.py::test_a_worker_with_another_key_says_so"),
        ),
    ),
    (
        "tasks/enqueue_steps.py",
        "test_client.py::test_an_own_id_whose_answer_was_lost_is_sent_once_and_any_other_until_it_is_answered test_client.py::test_one_call_carries_no_more_bytes_than_it_may",
        (
            ("client-one-call-carries-any-bytes", "large calls", "(len(part) == BATCH or size + bytes_of > ENQUEUE_BYTES_MAX)", "len(part) == BATCH"),
            ("client-one-call-carries-any-number", "large calls", "(len(part) == BATCH or size + bytes_of > ENQUEUE_BYTES_MAX)", "size + bytes_of > ENQUEUE_BYTES_MAX", "test_client.py::test_many_tasks_of_many_queues_keep_their_order test_client.py::test_all_the_dead_are_purged_and_revived_however_many"),
        ),
    ),
    (
        "client.py",
        "test_client.py::test_an_own_id_whose_answer_was_lost_is_sent_once_and_any_other_until_it_is_answered test_client.py::test_one_call_carries_no_more_bytes_than_it_may",
        (
            ("client-own-id-sent-again", "answers", "repeatable = task.id is None\n", "repeatable = True\n"),
            ("client-lost-answer-not-sent-again", "answers", "            if lost.sent and not repeatable:\n", "            if lost.sent:\n"),
            ("client-own-write-called-duplicate", "answers", "        if sent_before and repeatable:\n", "        if False:\n"),
            ("client-does-not-wait-for-room", "full queues", "            if not (wait and full):\n", "            if True:\n", "test_client.py::test_waiting_for_room_has_an_end test_client.py::test_a_full_queue_refuses_and_takes_what_does_not_count"),
            ("client-needs-elsewhere-unchecked", "dependencies", "        await self._check_elsewhere(one.elsewhere)\n", "", "test_client.py::test_without_the_task_that_it_needs_nothing_is_written"),
            ("client-grouped-needs-taken", "dependencies", "if record is None or record.state is State.GROUPED:", "if record is None:", "test_client.py::test_a_task_in_a_group_cannot_be_depended_on"),
            ("client-duplicate-id-unreported", "answers", "        if answer is None:\n            raise DuplicateTask(f\"{task.queue}", "        if False:\n            raise DuplicateTask(f\"{task.queue}"),
            ("client-unique-key-taken-unreported", "unique keys", "answer.kind is AnswerKind.TAKEN and one.rejects_duplicate:", "answer.kind is AnswerKind.TAKEN and False:", "test_client.py::test_a_second_task_of_a_unique_key_is_refused_by_the_holder"),
            ("client-messages-left-to-a-keeper", "dependencies", "        if one.elsewhere:\n            await relay(self._store, task.queue)\n", "", "test_client.py::test_what_has_ended_elsewhere_is_looked_at_although_nobody_serves"),
            ("client-unconfirmed-names-no-ids", "durability", "            unconfirmed.ids = tuple(f\"{queue}/{task.id}\" for task in tasks)\n", "", "ha/test_durability.py::test_a_replica_that_hangs_leaves_a_write_unconfirmed"),
            ("client-workflow-half-written", "workflows", "new_tasks, repeatable, atomic=True)", "new_tasks, repeatable)", "test_client.py::test_an_own_id_that_is_there_keeps_a_whole_workflow_out test_client.py::test_a_node_that_needs_what_is_not_there_keeps_the_workflow_out"),
        ),
    ),
    (
        "tasks/handle.py",
        "tasks/test_handle.py",
        (
            ("handle-resync-ignored", "lateness", "while (await signals.receive()).kind is SignalKind.PROGRESS:", "while (await signals.receive()).kind in (SignalKind.PROGRESS, SignalKind.RESYNC):"),
            ("handle-wait-unknown-to-the-store", "results", "            await self._watch()\n            with self", "            with self", "test_client.py::test_without_retention_only_who_waited_gets_the_result"),
            ("handle-waiter-ends-with-redis", "results", "return await until_answered(self._record)", "return await self._record()", "workflow/test_handle.py::test_a_waiter_outlives_a_lost_connection"),
            ("handle-cancelled-returns", "results", "return TaskCancelled(task.id) if task.state is State.CANCELLED else None", "return None", "test_client.py::test_a_waiting_task_is_cancelled_at_once_and_revived"),
            ("handle-change-tells-nobody", "dependencies", "        await relay(self._store, self._partition)\n", "", "worker/test_dependencies.py"),
            ("handle-progress-feed-repeats", "progress", "                    self._seen = record.progress\n", "", "test_client.py::test_progress_is_told_until_the_end"),
        ),
    ),
    (
        "tasks/partitions.py",
        "tasks/test_partitions.py",
        (
            ("partitions-hash-differs-by-process", "unique keys", "return crc32(key.encode()) % count", "return hash(key) % count"),
            ("partitions-needs-redis-for-old-counts", "answers", "            if not ever_read:\n                raise", "            raise"),
            ("partitions-limit-key-taken", "limits", "        if task.limit_key is not None:\n", "        if False:\n"),
            ("partitions-group-spread", "batches", "key = task.id or task.group or unique_key(task)", "key = task.id or __import__('os').urandom(8).hex() if task.unique is None else unique_key(task)"),
        ),
    ),
    (
        "tasks/prepare.py",
        "tasks/test_prepare.py",
        (
            ("prepare-nested-mappings-unsorted", "unique keys", "        return [_sorted(one) for one in cast(\"Sequence[Any]\", data)]", "        return list(data)"),
            ("prepare-mappings-unsorted", "unique keys", "        return {key: _sorted(value) for key, value in ordered}", "        return {key: _sorted(value) for key, value in items}"),
            ("prepare-short-delay-is-none", "delays", "max(1, round(seconds * 1000)) if seconds else 0", "round(seconds * 1000)"),
            ("prepare-deadline-does-not-end-waits", "deadlines", "expires = earlier_end(task.expires, task.deadline)", "expires = task.expires", "worker/test_deadline.py"),
        ),
    ),
    (
        "workflow/handle.py",
        "workflow/test_handle.py",
        (
            ("workflow-cancel-misses-retries", "workflows", "[name for name in together if _runs(states[name])]", "[name for name in together if states[name] in (State.PENDING, State.BLOCKED, State.ACTIVE, State.SCHEDULED)]"),
            ("workflow-waiter-ends-with-redis", "workflows", "(info := await until_answered(self.info)).done", "(info := await self.info()).done"),
            ("workflow-failed-last-is-blamed", "workflows", "return min(failed, key=rank, default=None)", "return max(failed, key=rank, default=None)"),
            ("workflow-purged-counts-as-running", "workflows", "done = not any(map(_runs, states.values()))", "done = all(state in TERMINAL for state in states.values())"),
        ),
    ),
    (
        "store/relay.py",
        "actors/test_keeper.py conformance/test_mail.py",
        (
            ("relay-acknowledges-first", "lost messages", "        messages = list(some)\n        try:\n", "        messages = list(some)\n        await store.acknowledge(queue, messages[-1].seq)\n        try:\n", "conformance/test_mail.py::test_a_graph_whose_relays_die_half_way_ends_complete"),
            ("relay-unconfirmed-ends-the-keeper", "the worker", "    except Unconfirmed:\n        # Not", "    except ZeroDivisionError:\n        # Not", "ha/test_durability.py::test_messages_stay_in_the_outbox_until_their_receipt_is_confirmed"),
            ("relay-names-no-parent", "the log", "if message.seq in refused and (task := message.task) and task.parent:", "if message.seq in refused and (task := message.task):", "conformance/test_mail.py::test_a_relay_reports_the_children_that_a_receiver_refused"),
            ("relay-refused-in-silence", "the log", "                report(child)\n", "                pass\n", "conformance/test_mail.py::test_a_relay_reports_the_children_that_a_receiver_refused"),
            ("relay-leaves-the-rest", "lateness", "return Due(len(mail), 0 if left else None)", "return Due(len(mail), None)"),
            ("relay-blames-the-sender", "other queues", "            raise ReceiverAway(receiver, lost) from lost\n", "            raise\n", "actors/test_keeper.py::test_messages_to_a_queue_of_other_workers_that_is_away_are_reported"),
        ),
    ),
    (
        "store/retrying.py",
        "store/test_retrying.py",
        (
            ("retrying-without-pause", "calls", "        await trio.sleep(min(pause_max, retry_pause()))\n", "        await trio.lowlevel.checkpoint()\n"),
            ("retrying-longest-pause-ignored", "lateness", "min(pause_max, retry_pause())", "retry_pause()"),
            ("retrying-gives-up-late", "answers", "if trio.current_time() >= give_up_at:", "if trio.current_time() >= give_up_at + 5:"),
            ("retrying-failure-unreported", "probes", "                on_failure(lost)\n", "                pass\n"),
        ),
    ),
    (
        "store/encrypted/keys.py",
        "security/test_encryption.py::test_what_is_encrypted_deterministically_shares_no_key_and_nonce_with_other_data security/test_encryption.py::test_what_is_encrypted_is_decrypted_by_whoever_has_the_key",
        (
            ("encryption-nonce-used-twice", "secrecy", "entropy = _mac(key.nonce_key, packed_context, data)", "entropy = _mac(key.nonce_key, packed_context)"),
            ("encryption-nonce-of-other-schedule", "secrecy", "entropy = _mac(key.nonce_key, packed_context, data)", "entropy = _mac(key.nonce_key, data)"),
            ("encryption-encrypts-with-the-last-key", "rotation", "        key = self._keys[0]\n        packed_context", "        key = self._keys[-1]\n        packed_context", "security/test_encryption.py::test_keys_are_rotated_without_a_gap"),
            ("encryption-accepts-clear-text", "secrecy", "            if self._allow_clear:\n", "            if True:\n", "security/test_encryption.py::test_what_is_not_encrypted_is_refused_unless_it_is_allowed"),
            ("encryption-hash-without-key", "secrecy", "_mac(self._keys[0].hash_key, text", "_mac(b\"\", text", "security/test_encryption.py::test_a_key_of_unique_holds_and_tells_nothing"),
            ("encryption-decrypts-with-the-first-key-only", "rotation", "candidates = [key for key in self._keys if", "candidates = [key for key in self._keys[:1] if", "security/test_encryption.py::test_keys_are_rotated_without_a_gap"),
            ("encryption-short-key-accepted", "secrecy", "if not isinstance(key, bytes) or len(key) != KEY_BYTES:", "if not isinstance(key, bytes):", "security/test_encryption.py::test_bad_keys_are_refused_and_not_shown"),
            ("encryption-bound-to-nothing", "secrecy", "        packed_context = pack(context)\n", "        context = ()\n        packed_context = pack(context)\n"),
            ("encryption-version-unchecked", "secrecy", "if len(data) < _HEAD or data[:1] != _VERSION:", "if len(data) < _HEAD:", "security/test_encryption.py::test_every_flipped_bit_is_found"),
            ("encryption-environment-allows-clear", "secrecy", "allow_clear=clear in (\"1\", \"true\"))", "allow_clear=bool(clear))", "security/test_encryption.py::test_the_environment_says_whether_clear_text_is_accepted"),
        ),
    ),
    (
        "store/encrypted/store.py",
        "security/test_encryption.py::test_nothing_of_it_can_be_read_in_the_store",
        (
            ("encryption-child-bound-to-its-parents-queue", "children", "target_queue = relations.queue or queue", "target_queue = queue", "security/test_encryption.py::test_a_child_is_decrypted_in_the_queue_that_it_goes_to"),
            ("encryption-metadata-in-clear", "secrecy", "envelope = _repacked(decrypted, payload, {})", "envelope = _repacked(decrypted, payload, dict(decrypted.metadata))"),
            ("encryption-triggered-task-in-clear", "secrecy", "return await self._store.trigger(queue, name=name, task=encrypted)", "return await self._store.trigger(queue, name=name, task=task)"),
            ("encryption-unique-key-in-clear", "secrecy", "unique=self._encryption.hash_text(relations.unique)", "unique=relations.unique", "security/test_encryption.py::test_a_key_of_unique_holds_and_tells_nothing"),
            ("encryption-result-in-clear", "secrecy", "result = self._encryption.encrypt(one.result, \"result\", f\"{queue}/{one.fence.id}\")", "result = one.result"),
            ("encryption-step-in-clear", "secrecy", "return await self._store.remember(queue, fence, (name, encrypted))", "return await self._store.remember(queue, fence, step)"),
            ("encryption-progress-in-clear", "secrecy", "[encrypted(one) for one in items]", "items"),
            ("encryption-child-in-clear", "secrecy", "children = tuple(self._encrypted_task(queue, child) for child in one.children)", "children = one.children"),
            ("encryption-ticked-task-in-clear", "secrecy", "attrs.evolve(tick, task=self._encrypted_task(queue, tick.task, scheduled=True))", "tick", "security/test_encryption.py::test_a_schedule_that_ticks_makes_tasks_that_nobody_can_read"),
            ("encryption-schedule-declared-anew", "schedules", "deterministic=bool(schedule)", "deterministic=False", "security/test_encryption.py::test_a_schedule_that_is_declared_again_stays_as_it_is"),
            ("encryption-input-bound-to-this-queue", "dependencies", "ref if \"/\" in ref else f\"{queue}/{ref}\"", "f\"{queue}/{ref}\"", "security/test_encryption.py"),
            ("encryption-batch-members-sealed", "batches", "self._decrypted_envelope(one.envelope, \"task\", queue, one.id)", "one.envelope", "security/test_encryption.py::test_a_batch_gets_its_members_in_clear"),
            ("encryption-undecryptable-ends-the-worker", "the worker", "        except _DECRYPT_ERRORS as error:\n", "        except ZeroDivisionError as error:\n", "security/test_encryption.py::test_a_worker_without_keys_sends_the_task_to_dead_and_goes_on security/test_encryption.py::test_a_worker_with_another_key_says_so"),
        ),
    ),
    (
        "store/redis/durability.py",
        "ha/test_durability.py::test_a_level_that_is_none_is_refused ha/test_durability.py::test_the_environment_chooses ha/test_durability.py::test_a_replica_that_hangs_leaves_a_write_unconfirmed",
        (
            ("durability-replicated-by-nobody", "durability", "return cls(level, int(level == \"replicated\"))", "return cls(level, 0)"),
            ("durability-replicas-with-memory", "settings", "        if level == \"memory\":\n            raise", "        if False:\n            raise"),
            ("durability-no-replica-wanted", "settings", "least = int(level == \"replicated\")", "least = 0"),
            ("durability-waits-for-one-replica", "durability", "return (b\"WAIT\", self.replicas, CONFIRM_WITHIN_MS)", "return (b\"WAIT\", 1, CONFIRM_WITHIN_MS)", "store/test_durability.py"),
            ("durability-disk-not-waited-for", "durability", "return (b\"WAITAOF\", 1, self.replicas, CONFIRM_WITHIN_MS)", "return (b\"WAITAOF\", 0, self.replicas, CONFIRM_WITHIN_MS)", "store/test_durability.py"),
            ("durability-disk-of-replicas-ignored", "durability", "return (b\"WAITAOF\", 1, self.replicas, CONFIRM_WITHIN_MS)", "return (b\"WAITAOF\", 1, 0, CONFIRM_WITHIN_MS)", "store/test_durability.py"),
            ("durability-repairs-unconfirmed", "durability", "    **dict.fromkeys(REPAIRS | OF_PEOPLE, Confirm.RAISE),\n", "    **dict.fromkeys(OF_PEOPLE, Confirm.RAISE),\n    **dict.fromkeys(REPAIRS, Confirm.NO),\n", "ha/test_confirmed_writes.py"),
            ("durability-resume-is-no-pause", "durability", "OTHER_SCRIPT = MappingProxyType({\"resume\": \"pause\", \"reinstate\": \"suspend\"})", "OTHER_SCRIPT = MappingProxyType({\"resume\": \"pause\"})", "ha/test_confirmed_writes.py"),
        ),
    ),
    (
        "store/redis/connection/confirmer.py",
        "store/test_durability.py ha/test_durability.py",
        (
            ("confirmer-unconfirmed-write-is-answered", "durability", "if missing and call.confirm is Confirm.RAISE:", "if False:"),
            ("confirmer-worker-writes-raise", "the worker", "if missing and call.confirm is Confirm.RAISE:", "if missing:"),
            ("confirmer-one-replica-too-few", "durability", "if replicas < wanted.replicas:", "if replicas < wanted.replicas - 1:"),
            ("confirmer-uncounted", "counts", "        self.unconfirmed += count\n", ""),
            ("confirmer-disk-unread", "durability", "missing = \"\" if fsynced >= 1 else", "missing = \"\" if True else", "store/test_durability.py ha/test_durability.py::test_what_does_not_come_to_disk_in_time_is_unconfirmed"),
            ("confirmer-logs-each-write", "the log", "            self._logged = now\n", ""),
        ),
    ),
    (
        "store/redis/connection/pipeline.py",
        "redis/test_gateway.py",
        (
            ("connection-lost-call-is-unsent", "answers", "lost = ConnectionLost(f\"the connection to {self._shown} broke: {why}\")", "lost = ConnectionLost(f\"the connection to {self._shown} broke: {why}\", sent=False)"),
            ("connection-early-call-unconfirmed", "durability", "            or self._confirmer\n", "", "ha/test_durability.py::test_a_replica_that_hangs_leaves_a_write_unconfirmed"),
            ("connection-dials-without-pause", "dials", "                        await asyncio.sleep(reconnect_delay(failures))\n", "                        await asyncio.sleep(0.05)\n", "redis/test_pipeline.py"),
            ("connection-unsent-call-waits-for-ever", "a hang", "                        self._refuse_expired(error)\n", "", "redis/test_pipeline.py"),
            ("connection-failure-unreported", "failovers", "                        self._topology.refresh_soon()\n                        self._refuse", "                        self._refuse", "redis/test_pipeline.py"),
            ("connection-cancelled-call-is-sent", "calls", "            if call.is_awaited:  # else", "            if True:  # else"),
            ("connection-no-answer-is-waited-for", "a hang", "self._response_deadline.set(self._response_timeout)", "self._response_deadline.set(self._response_timeout + 5.0)", "redis/test_gateway.py::test_a_server_that_does_not_answer_is_given_up redis/test_gateway.py::test_each_round_trip_has_the_whole_timeout"),
            ("connection-script-not-sent-again", "failovers", "            again.append(call)\n", "            pass\n", "redis/test_gateway.py::test_a_script_that_the_server_has_forgotten_is_sent_again"),
            ("connection-unsendable-refuses-all", "answers", "            except (TypeError, ValueError) as error:\n                call.refuse", "            except ZeroDivisionError as error:\n                call.refuse", "test_bad_input.py::test_a_text_that_cannot_be_sent_is_refused_alone"),
            ("connection-asking-not-sent", "clusters", "            if call.asking:\n                packed.append(pack(_ASKING))\n", "", "ha/test_cluster.py::test_a_key_that_went_ahead_of_its_slot_is_asked_for_where_it_is"),
            ("connection-replica-is-kept", "failovers", "            self._is_stale = True\n            self._topology.refresh_soon()\n        if not", "            pass\n        if not", "redis/test_gateway.py::test_a_server_that_has_become_a_replica_is_left_after_its_refusal"),
            ("connection-sends-while-stale", "failovers", "            or self._is_stale\n", "", "redis/test_gateway.py::test_a_call_that_comes_right_after_a_reconnect_goes_over_the_new_connection"),
        ),
    ),
    (
        "store/redis/connection/subscriber.py",
        "redis/test_gateway.py",
        (
            ("subscriber-no-resync-after-reconnect", "lateness", "            self._broadcast.publish(Signal(queue, SignalKind.RESYNC))\n        elif", "            pass\n        elif"),
            ("subscriber-silence-unnoticed", "lateness", "pong_deadline.set(PING_INTERVAL + PONG_TIMEOUT)", "pong_deadline.set(PING_INTERVAL + PONG_TIMEOUT + 100)"),
            ("subscriber-dials-without-pause", "dials", "                await trio.sleep(reconnect_delay(failures))\n", "                await trio.sleep(0.05)\n", "redis/test_subscriber.py"),
            ("subscriber-new-queue-unheard", "lateness", "            self._queues_added.set()\n", "            pass\n"),
            ("subscriber-unknown-signal-dropped", "upgrades", "        # A newer version may send kinds that this one does not know: read the store.\n        return Signal(queue, SignalKind.RESYNC)", "        return Signal(queue, SignalKind.PROGRESS)"),
        ),
    ),
    (
        "store/redis/connection/topology.py",
        "redis/test_topology.py",
        (
            ("connection-demoted-master-is-used", "failovers", "        if role != b\"master\":\n", "        if False:\n", "redis/test_topology.py"),
            ("connection-first-sentinel-only", "failovers", "                causes.append(f\"{sentinel}: {reason_of(error)}\")\n                continue", "                raise", "ha/test_sentinel.py::test_one_sentinel_that_answers_is_enough"),
            ("connection-unknown-service-is-retried", "errors", "        if unknown == len(self._sentinels):\n", "        if False:\n", "ha/test_sentinel.py::test_what_the_sentinels_do_not_know_is_a_config_error"),
        ),
    ),
    (
        "store/redis/connection/address.py",
        "store/test_urls.py",
        (
            ("address-sentinels-get-the-password", "failovers", "if k not in (\"db\", \"username\", \"password\")}", "if k not in (\"db\",)}"),
            ("address-sentinels-without-tls-options", "failovers", "if k not in (\"db\", \"username\", \"password\")}", "if k not in (\"db\", \"username\", \"password\") and not k.startswith(\"ssl_\")}"),
            ("address-error-chains-the-url", "secrecy", "        bad = type(error).__name__\n    # Not", "        raise ConfigError(\"bad URL\") from error\n    # Not", "security/test_secrets.py::test_a_bad_url_is_refused_without_its_password store/test_urls.py"),
            ("address-cluster-database-taken", "URLs", "    elif database not in (\"\", \"0\"):\n", "    elif False:\n", "test_bad_input.py store/test_urls.py"),
        ),
    ),
    (
        "store/redis/connection/tls.py",
        "redis/test_tls.py",
        (
            ("tls-host-name-unchecked", "secrecy", "query.get(\"ssl_check_hostname\", \"true\")", "query.get(\"ssl_check_hostname\", \"false\")"),
            ("tls-certificate-unchecked", "secrecy", "query.get(\"ssl_cert_reqs\", \"required\")", "query.get(\"ssl_cert_reqs\", \"none\")"),
            ("tls-unknown-option-taken", "secrecy", "        elif name not in known:\n", "        elif False:\n"),
            ("tls-unverified-unwarned", "the log", "        log.warning(\n            \"%s: ssl_cert_reqs", "        log.debug(\n            \"%s: ssl_cert_reqs"),
            ("tls-options-without-tls-taken", "secrecy", "            if not secure:\n                raise", "            if False:\n                raise"),
        ),
    ),
    (
        "store/redis/connection/connection.py",
        "redis/test_connection.py redis/test_gateway.py::test_a_server_out_of_memory_refuses_and_loses_nothing",
        (
            ("connection-pauses-do-not-grow", "dials", "0.05 * 2.0 ** min(failures, 10)", "0.05", "redis/test_pipeline.py"),
        ),
    ),
    (
        "store/redis/connection/replies.py",
        "redis/test_connection.py redis/test_gateway.py::test_a_server_out_of_memory_refuses_and_loses_nothing",
        (
            ("connection-full-server-is-a-bug", "the worker", "_DAMAGED = frozenset({\"WRONGTYPE\", ", "_DAMAGED = frozenset({\"OOM\", \"WRONGTYPE\", "),
            ("connection-moving-slot-is-unsent", "answers", "is moving: {said}\", reply=said, sent=True)", "is moving: {said}\", reply=said, sent=False)"),
            ("connection-temporary-error-was-sent", "answers", "sent=code not in _NOT_CARRIED_OUT and", "sent=code != \"\" and"),
            ("connection-wrapped-error-unread", "the worker", "r\"^ERR Error running script", "r\"^NONE Error running script"),
            ("connection-missing-permission-unnamed", "errors", "    if _is_permission_error(line):\n", "    if False:\n", "security/test_acl.py"),
        ),
    ),
    (
        "store/redis/connection/gateway.py",
        "redis/test_gateway.py::test_a_command_follows_its_redirects_and_asks_where_it_is_told_to",
        (
            ("connection-redirect-does-not-ask", "clusters", "                call.asking = True\n", "                pass\n"),
            ("connection-second-redirect-is-refused", "clusters", "if call.redirects > REDIRECTS_MAX:", "if call.redirects > 1:"),
            ("connection-redirects-for-ever", "clusters", "if call.redirects > REDIRECTS_MAX:", "if False:"),
            ("connection-cluster-down-is-an-error", "clusters", "temporary = (redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)", "temporary = (redis.exceptions.TryAgainError,)", "ha/test_cluster.py::test_a_call_waits_while_nobody_has_its_slot"),
            ("connection-closed-client-takes-calls", "a hang", "        if self._closed:\n            raise ConnectionLost", "        if False:\n            raise ConnectionLost", "redis/test_gateway.py::test_a_closed_client_says_so"),
            ("connection-read-takes-any-command", "durability", "    if command[0] not in READ_COMMANDS:\n", "    if False:\n", "ha/test_confirmed_writes.py::test_a_command_that_writes_is_refused_as_one_that_reads"),
            ("connection-whole-cluster-needed", "clusters", "if is_login_error(error) or not (left or connected):", "if True:", "ha/test_cluster.py::test_one_master_that_is_down_does_not_keep_a_client_from_the_others"),
        ),
    ),
    (
        "store/redis/connection/calls.py",
        "store/test_calls.py redis/test_gateway.py",
        (
            ("connection-merged-calls-grow-without-bound", "large calls", "if not group or items > MERGED_ITEMS_MAX or size > MERGED_BYTES_MAX:", "if not group:"),
            ("connection-merged-answers-shifted", "answers", "            at += call.merge.items\n", "            at += 1\n"),
            ("connection-asking-call-merged", "clusters", "if merge is None or call.asking:", "if merge is None:"),
            ("connection-merged-call-loses-items", "answers", "command += call.command[merge.head :]", "command += call.command[merge.head + 1 :]"),
        ),
    ),
    (
        "settings.py",
        "test_settings.py test_bad_input.py",
        (
            ("settings-environment-wins", "settings", "if name not in found and text:", "if text:"),
            ("settings-environment-ignored", "settings", "if name not in found and text:", "if False:"),
            ("settings-heartbeat-unbounded", "lost leases", "        if self.heartbeat is not None and self.heartbeat > self.lease / 2:\n", "        if False:\n"),
            ("settings-heartbeat-ignored", "settings", "return self.lease / 3 if self.heartbeat is None else self.heartbeat", "return self.lease / 3"),
            ("settings-unknown-taken", "settings", "    if unknown := sorted(options.keys() - set(allowed)):\n", "    if unknown := [*()]:\n"),
            ("settings-queue-twice", "settings", "    elif len(set(value)) != len(value):\n", "    elif False:\n"),
            ("settings-weight-of-nothing", "settings", "bounds.check_number(\"queues\", weight, 0, 1e6, above=True)", "bounds.check_number(\"queues\", weight, 0, 1e6)"),
            ("settings-no-is-yes", "settings", "    if lowered in (\"0\", \"false\", \"no\", \"off\"):\n        return False", "    if lowered in (\"0\", \"false\", \"no\", \"off\"):\n        return True"),
            ("settings-weights-read-as-order", "settings", "    if any(\"=\" in part for part in parts):\n", "    if False:\n"),
            ("settings-missing-weight-is-zero", "settings", "float(weight or \"nan\")", "float(weight or \"1\")"),
            ("settings-text-is-a-list", "settings", "    if isinstance(value, str) or not isinstance(value, Sequence):\n", "    if not isinstance(value, Sequence):\n"),
            ("settings-durability-unchecked", "settings", "        Durability.of(self.durability, self.replicas)\n", "        pass\n", "ha/test_durability.py::test_the_environment_chooses ha/test_durability.py::test_a_bad_level_is_refused_before_anything_is_opened test_settings.py"),
            ("settings-prefetch-unbounded", "settings", "        bounds.check_number(\"prefetch\", value, 0, 1000, integer=True)\n", "        pass\n"),
            ("settings-empty-variable-counts", "settings", "if name not in found and text:", "if name not in found and text is not None:"),
        ),
    ),
    (
        "wire/deadlines.py",
        "wire/test_deadlines.py",
        (
            ("deadlines-later-of-both", "deadlines", "return min(expires, deadline, key=at)", "return max(expires, deadline, key=at)"),
            ("deadlines-of-revived-tasks", "deadlines", "if not packed or not record.expires_ms:", "if not packed:", "wire/test_deadlines.py worker/test_deadline.py"),
        ),
    ),
    (
        "tasks/task_info.py",
        "tasks/test_task_info.py",
        (
            ("task-info-age-of-youngest-partition", "metrics", "sums[\"oldest_pending_age\"] = max(", "sums[\"oldest_pending_age\"] = min("),
            ("task-info-paused-if-one-partition-is", "metrics", "sums[\"paused\"] = all(", "sums[\"paused\"] = any("),
        ),
    ),
    (
        "handlers/lifespan_runner.py",
        "worker/test_lifespans.py",
        (
            ("lifespan-cancelled-with-the-worker", "outcomes", "                        guard.shield = True\n                        await self._work(work)", "                        await self._work(work)"),
            ("lifespan-left-without-grace", "clean-up of a pool", "                        guard.shield = True\n                        guard.deadline", "                        guard.deadline"),
            ("lifespan-left-without-bound", "a shutdown", "                        guard.deadline = trio.current_time() + self.grace\n", ""),
            ("lifespan-ends-and-the-worker-goes-on", "a background task's error", "                self.stop_now()\n                raise", "                raise"),
            ("lifespan-sees-the-crash", "WorkerCrashed", "                        if isinstance(inner, trio.Cancelled):\n                            raise inner from inner.__cause__", "                        if True:\n                            raise inner from inner.__cause__"),
            ("lifespan-cancelled-silently", "a worker that stops", "        if not completed:\n", "        if False:\n"),
            ("lifespan-cancelled-start-called-an-error", "a cancellation", "            await trio.lowlevel.checkpoint_if_cancelled()\n", ""),
            ("lifespan-error-not-logged", "a log line", "if raised is not error and not isinstance(inner, trio.Cancelled):", "if False:"),
        ),
    ),
    (
        "worker/handler_call.py",
        "worker/test_unset_options.py",
        (
            ("call-handler-timeout-wins", "options", " and envelope.timeout is UNSET_TIMEOUT:", ":"),
            ("call-handler-backoff-wins", "options", " and envelope.backoff is DEFAULT_BACKOFF:", ":"),
            ("call-handler-attempts-win", "options", " and not envelope.max_retry_is_set\n    if own", "\n    if own"),
            ("call-handler-retention-lost", "options", "    held.retention_ms = own.retention_ms  # the queue knows whether it was left unset\n", ""),
            ("call-batch-without-options", "options", "        _apply_options(handler.own_options, batch_envelope, held)", "        pass"),
        ),
    ),
    (
        "spec/lanes.py",
        "conformance/test_limits.py",
        (
            ("lanes-lateness-is-lost", "limits", "arrival_us - limit.tolerance_us", "arrival_us - (limit.burst - 1) * limit.interval_us"),
            ("lanes-pause-is-saved-up", "limits", "return max(arrival_us, now * 1000) + limit.interval_us", "return (arrival_us or now * 1000) + limit.interval_us"),
            ("lanes-full-queue-waits-for-its-rate", "calls", "if not lanes or 0 < whole.concurrency <= active.total():", "if not lanes:"),
        ),
    ),
    (
        "spec/operations.py",
        "ha/test_durability.py::test_a_replica_that_hangs_leaves_a_write_unconfirmed",
        (
            ("operations-cancel-unconfirmed", "durability", "cancel = Operation(rules.cancel, {_T.CANCEL}, confirm=_RAISE,", "cancel = Operation(rules.cancel, {_T.CANCEL}, confirm=_NO,"),
        ),
    ),
    (
        "spec/claim.py",
        "conformance/test_claim.py",
        (
            ("claim-next-start-unsaid", "lateness", "start = None if remaining else next_start(after, now)", "start = None", "conformance/test_limits.py"),
            ("claim-ignores-a-pause", "a pause", "    if queue.paused:\n        return queue, Claimed((), 0)\n", "", "conformance/test_claim.py::test_a_paused_queue_gives_nothing_and_says_that_nothing_remains"),
            ("claim-expired-task-runs-one-ms", "expiry", "return 0 < record.expires_ms <= now", "return 0 < record.expires_ms < now", "conformance/test_keeping.py::test_a_waiting_task_expires_at_its_instant_and_not_before"),
            ("claim-lease-without-nonce", "two attempts at once", "(record.deliveries, record.nonce) != (fence.deliveries, fence.nonce)", "record.deliveries != fence.deliveries", "conformance/test_fences.py::test_another_nonce_is_stale"),
            ("claim-lease-without-delivery", "two attempts at once", "(record.deliveries, record.nonce) != (fence.deliveries, fence.nonce)", "record.nonce != fence.nonce", "conformance/test_fences.py::test_another_delivery_is_stale"),
            ("claim-charges-no-attempt", "retries", "\"attempt\": record.attempt + 1}", "\"attempt\": record.attempt}", "conformance/test_claim.py::test_a_claim_leases_a_task"),
            ("claim-starts-uncounted", "limits", "        lanes.started(record)\n", "", "conformance/test_limits.py::test_no_more_run_than_the_queue_may"),
            ("claim-renewal-forgets-cancel", "a cancel", "Verdict.CANCEL if record.cancel else Verdict.KEPT", "Verdict.KEPT", "conformance/test_give_back.py::test_a_renewal_tells_of_a_cancel_and_keeps_the_lease"),
        ),
    ),
    (
        "spec/settle.py",
        "conformance/test_settle.py",
        (
            ("settle-one-retry-too-many", "retries", "record.attempt > record.max_retry:", "record.attempt > record.max_retry + 1:", "conformance/test_settle.py::test_a_task_is_dead_after_its_retries"),
            ("settle-final-failure-retried", "retries", "if outcome.final or record.attempt", "if record.attempt", "conformance/test_settle.py::test_a_final_failure_is_dead_whatever_is_left"),
            ("settle-failure-forgets-cancel", "a cancel", "    if record.cancel:\n        return change.cancel(Transition.FAIL, record, error=outcome.error).state\n", "", "conformance/test_settle.py::test_a_failure_after_a_cancel_was_asked_cancels"),
            ("settle-snooze-charged", "retries", "\"attempt\": record.attempt - 1,\n                \"snoozes\"", "\"attempt\": record.attempt,\n                \"snoozes\"", "conformance/test_give_back.py::test_a_snoozed_task_is_scheduled_uncharged"),
            ("settle-release-charged", "retries", "            attempt = record.attempt - 1\n", "            attempt = record.attempt\n", "conformance/test_give_back.py::test_a_released_task_goes_back_to_its_place_uncharged"),
            ("settle-waiters-find-nothing", "results", "CANCELLED_GRACE_MS if record.has_waiters else 0", "0", "conformance/test_settle.py::test_a_task_that_someone_waits_for_is_kept_for_the_grace"),
            ("settle-progress-after-the-end", "progress", "good = record is not None and record.state is State.ACTIVE", "good = record is not None", "conformance/test_fences.py::test_a_settled_attempt_reports_no_progress"),
            ("settle-old-error-kept", "errors", "if refused else \"\",\n", "if refused else record.error,\n", "conformance/test_settle.py::test_a_completion_clears_the_error_of_an_earlier_attempt"),
            ("settle-refused-children-unsaid", "children", "return PartlyCompleted(tuple(refused)) if refused else State.COMPLETED", "return State.COMPLETED", "conformance/test_children.py::test_a_child_whose_id_exists_changes_nothing"),
            ("settle-waiters-of-successor-forgotten", "results", "    if record.has_waiters:\n        added", "    if False:\n        added", "conformance/test_children.py::test_who_waits_for_a_task_that_is_succeeded_waits_for_its_successor"),
        ),
    ),
    (
        "spec/upkeep.py",
        "conformance/test_keeping.py",
        (
            ("upkeep-lapse-charges-the-attempt", "retries", "\"crashes\": crashes, \"attempt\": record.attempt - 1,", "\"crashes\": crashes, \"attempt\": record.attempt,", "conformance/test_keeping.py::test_a_lease_is_reclaimed_when_it_runs_out_and_not_before"),
            ("upkeep-lapsed-lease-still-holds", "two attempts at once", ", \"nonce\": b\"\"}", "}", "conformance/test_fences.py::test_a_lease_that_was_reclaimed_is_stale"),
            ("upkeep-one-crash-too-few", "poison tasks", "elif crashes > record.max_crashes:", "elif crashes >= record.max_crashes:", "conformance/test_keeping.py::test_a_task_is_dead_when_its_workers_died_too_often"),
            ("upkeep-lapse-forgets-cancel", "a cancel", "        if record.cancel:\n            change.cancel(Transition.RECLAIM, record, **void)\n        elif", "        if", "conformance/test_keeping.py::test_a_lapse_after_a_cancel_was_asked_cancels"),
            ("upkeep-dead-kept-for-ever", "memory", "max(old, len(dead) - max_dead)", "max(0, len(dead) - max_dead)", "conformance/test_purge.py::test_a_dead_task_goes_after_its_retention_and_not_before"),
            ("upkeep-lapsed-keys-kept", "memory", "            del change.locks[key]\n", "            pass\n", "conformance/test_unique.py::test_a_purge_forgets_keys_at_their_instant_and_tells_when_the_next_is_due"),
        ),
    ),
    (
        "spec/intake.py",
        "conformance/test_enqueue.py",
        (
            ("intake-room-counts-all-tasks", "limits", "pending = sum(r.state is State.PENDING for r in change.records.values())", "pending = len(change.records)", "conformance/test_limits.py::test_a_bounded_queue_takes_as_many_as_may_be_pending"),
            ("intake-step-half-written", "enqueue_many", "if r and (atomic or r.kind in _REFUSALS)]", "if r and atomic]", "conformance/test_dependencies.py::test_a_step_without_room_for_all_is_kept_out"),
            ("intake-missing-task-needed", "dependencies", "            return Answer(AnswerKind.MISSING, ref)\n", "            continue\n", "conformance/test_dependencies.py::test_a_missing_task_keeps_a_whole_out"),
            ("intake-message-taken-twice", "messages", "        if message.seq > mark:\n", "        if True:\n", "conformance/test_mail.py::test_a_message_that_came_before_changes_nothing"),
            ("intake-past-instant-kept", "order", "\"run_ms\": max(_due(task, now), now)", "\"run_ms\": _due(task, now)", "conformance/test_enqueue.py::test_an_instant_that_has_come_or_passed_is_now"),
            ("intake-started-task-replaced", "unique keys", "        and record.deliveries == 0\n", "", "conformance/test_unique.py"),
        ),
    ),
    (
        "spec/change.py",
        "conformance/test_dependencies.py",
        (
            ("change-dead-holder-keeps-key", "unique keys", "case State.COMPLETED | State.DEAD:", "case State.COMPLETED:", "conformance/test_unique.py::test_the_key_is_free_in_the_very_step_that_ends_its_holder"),
            ("change-dependent-of-dead-runs", "dependencies", "if ended_as is not State.COMPLETED and not record.run_on_dependency_failure:", "if False:", "conformance/test_dependencies.py::test_one_that_failed_already_buries_the_task_at_once"),
            ("change-message-numbers-repeat", "messages", "self.sent = max(self.sent + 1, self.now * SENT_PER_MS)", "self.sent = self.now * SENT_PER_MS", "conformance/test_mail.py::test_numbers_grow_within_an_instant_and_with_time"),
            ("change-late-lane-goes-first", "fairness", "self.turns.setdefault(key, self.turn)", "self.turns.setdefault(key, 0)", "conformance/test_limits.py::test_who_comes_late_waits_no_longer_than_a_round"),
            ("change-window-never-over", "unique keys", "None if lock is None or 0 < lock.till_ms <= self.now else lock.id", "None if lock is None else lock.id", "conformance/test_unique.py::test_a_window_with_a_time_is_over_at_its_instant_and_not_before"),
            ("change-result-not-handed-on", "dependencies", "if result and result != NIL else record.inputs", "if False else record.inputs", "conformance/test_dependencies.py"),
        ),
    ),
    (
        "spec/operate.py",
        "conformance/test_operating.py",
        (
            ("operate-revived-task-expires", "revivals", "\"expires_ms\": 0, \"finished_ms\"", "\"finished_ms\"", "conformance/test_operating.py::test_a_revived_task_is_as_if_new_but_for_its_deliveries"),
            ("operate-revived-task-has-no-key", "unique keys", "                fresh[\"owns_unique_key\"] = True\n", "", "conformance/test_unique.py"),
            ("operate-revives-beside-the-holder", "unique keys", "if keyed and change.holder(record.unique) is not None:", "if False:", "conformance/test_unique.py"),
        ),
    ),
    (
        "spec/groups.py",
        "conformance/test_groups.py",
        (
            ("groups-full-at-once-without-rule", "batches", "return 0 if rule is not None else first.run_ms + found.grace_ms", "return 0", "conformance/test_groups.py::test_a_group_without_a_rule_is_not_due_by_its_size_before_the_grace"),
            ("groups-rule-of-caller-ignored", "batches", "            change.rules[first.name] = rules[name]\n", "            pass\n", "conformance/test_groups.py::test_a_batch_is_made_by_the_rule_of_who_makes_it"),
            ("groups-shortest-prefix-wins", "batches", "return max(fit, key=", "return min(fit, key=", "conformance/test_groups.py::test_the_rule_of_a_name_goes_before_that_of_the_longest_prefix"),
            ("groups-grace-not-begun-anew", "batches", "last.run_ms + found.grace_ms)", "first.run_ms + found.grace_ms)", "conformance/test_groups.py::test_each_member_begins_the_grace_anew"),
            ("groups-batch-of-any-size", "memory", "        if rank and size > MOST_BYTES:\n", "        if False:\n", "conformance/test_groups.py::test_a_batch_holds_no_more_than_8_mib_but_one_member_in_any_case"),
        ),
    ),
    (
        "spec/schedules.py",
        "conformance/test_schedules.py",
        (
            ("schedules-old-version-ticks", "schedules", "(schedule.next_ms, schedule.revision) != (expected_ms, revision)", "schedule.next_ms != expected_ms", "conformance/test_schedules.py::test_what_was_declared_otherwise_meanwhile_does_not_fire"),
            ("schedules-overlap-ignored", "schedules", "if schedule.overlap_skip and _runs(", "if False and _runs(", "conformance/test_schedules.py::test_a_tick_is_skipped_while_the_last_task_has_not_ended"),
            ("schedules-declaration-ends-pause", "schedules", "(\"paused\", \"last_ms\", \"last_id\", \"revision\")", "(\"last_ms\", \"last_id\", \"revision\")", "conformance/test_schedules.py::test_a_pause_holds_through_a_declaration"),
            ("schedules-fired-tick-expected", "two tasks of a tick", "return max(next_ms, schedule.last_ms + 1)", "return next_ms", "conformance/test_schedules.py::test_what_has_fired_is_not_expected_again"),
        ),
    ),
    (
        "testing/judge/accounting.py",
        "faults/test_judge.py",
        (
            ("judge-lost-task-unseen", "a bug unseen", "if proofs and task.id not in held and not may_be_gone(observed, task):", "if False:", "faults/test_judge.py::test_a_lost_task_is_found"),
            ("judge-repeat-proves-nothing", "a bug unseen", "if call.created or call.holder == task.id", "if call.created", "faults/test_judge.py::test_a_task_that_only_a_repeat_told_of_is_lost_too"),
            ("judge-any-delete-explains", "a bug unseen", "call.known and call.answer not in (None, False, \"active\")", "call.known", "faults/test_judge.py::test_a_task_that_a_delete_did_not_take_is_lost"),
            ("judge-phantom-unseen", "a bug unseen", "explained = is_child or task.enqueues or", "explained = True or", "faults/test_judge.py::test_a_phantom_is_found"),
            ("judge-two-records-unseen", "a bug unseen", "if len(task.finals) > 1:", "if len(task.finals) > 2:", "faults/test_judge.py::test_a_task_that_is_there_twice_is_found"),
        ),
    ),
    (
        "testing/judge/once.py",
        "faults/test_judge.py",
        (
            ("judge-second-run-unseen", "a bug unseen", "if len(refused) > final.crashes:", "if False:", "faults/test_judge.py::test_a_double_completion_is_found"),
            ("judge-lapse-explains-nothing", "a false alarm", "if len(refused) > final.crashes:", "if len(refused) >= final.crashes > 0:", "faults/test_judge.py::test_a_second_success_after_a_lapse_is_none"),
            ("judge-missing-child-unseen", "a bug unseen", "if end.fence == counted and not there:", "if False:", "faults/test_judge.py::test_a_missing_child_is_found"),
            ("judge-child-of-refused-unseen", "a bug unseen", "elif end.fence != counted and known is not None and there:", "elif False:", "faults/test_judge.py::test_a_child_of_a_refused_attempt_is_found"),
            ("judge-member-twice-unseen", "a bug unseen", "if task.enqueues and places > len(task.enqueues):", "if task.enqueues and places > 1 + len(task.enqueues):", "faults/test_judge.py::test_a_member_in_two_batches_is_found"),
            ("judge-totals-unbounded", "a bug unseen", "if not there[name] <= total <= there[name] + gone[name]:", "if not there[name] <= total:", "faults/test_judge.py::test_a_completion_that_was_counted_twice_is_found"),
        ),
    ),
    (
        "testing/judge/timing.py",
        "faults/test_judge.py",
        (
            ("judge-early-start-unseen", "a bug unseen", "if first.at < due - spare * SECOND:", "if False:", "faults/test_judge.py::test_a_start_before_it_was_due_is_found"),
            ("judge-late-start-taken-for-late-claim", "a false alarm", "if claimed > over + spare * SECOND:", "if start.at > over + spare * SECOND:", "faults/test_judge.py::test_a_start_after_the_expiry_may_have_been_claimed_before"),
            ("judge-needed-task-may-have-died", "a bug unseen", "        if fence is None:\n            said", "        if False:\n            said", "faults/test_judge.py::test_a_start_before_what_it_needs_has_completed_is_found"),
        ),
    ),
    (
        "testing/judge/clock.py",
        "faults/test_judge.py",
        (
            ("judge-clock-never-jumps", "a false alarm", "if begin <= last and end >= first]", "if False]", "faults/test_judge.py::test_a_start_that_the_servers_clock_allows_is_not_too_early"),
        ),
    ),
    (
        "testing/judge/limiting.py",
        "faults/test_judge.py",
        (
            ("judge-concurrency-of-one-more", "a bug unseen", "        if len(now) > most:\n", "        if len(now) > most + 1:\n", "faults/test_judge.py::test_too_many_at_once_are_found"),
            ("judge-lapsed-attempts-count", "a false alarm", "if never_lapsed or start.fence == completing(task):", "if True:", "faults/test_judge.py::test_one_whose_lease_had_lapsed_does_not_count"),
            ("judge-rate-unchecked", "a bug unseen", "if most - end / interval <= at_once + spare:", "if True:", "faults/test_judge.py::test_too_many_in_a_window_are_found"),
        ),
    ),
    (
        "testing/judge/reasons.py",
        "faults/test_judge.py",
        (
            ("judge-fence-twice-unseen", "a bug unseen", "if times > 1:", "if times > 2:", "faults/test_judge.py::test_a_fence_that_was_given_twice_is_found"),
            ("judge-lapse-in-no-time", "a bug unseen", "(following.at - claimed) / SECOND + spare < observed.setup.lease", "False", "faults/test_judge.py::test_a_start_within_the_lease_of_another_is_found"),
            ("judge-start-without-reason-unseen", "a bug unseen", "len(needed) > final.crashes:", "len(needed) > final.crashes + 1:", "faults/test_judge.py::test_a_lapse_that_the_record_does_not_count_is_found"),
        ),
    ),
    (
        "testing/judge/linearize.py",
        "faults/test_linearize.py",
        (
            ("judge-search-forgets-real-time", "a bug unseen", "if operations[rank].call <= bound]", "if True]", "faults/test_linearize.py"),
            ("judge-search-needs-every-answer", "a false alarm", "for rank, each in enumerate(operations) if each.must)", "for rank, each in enumerate(operations))", "faults/test_linearize.py::test_a_call_without_an_answer_that_could_not_take_effect_is_left_out"),
            ("judge-search-without-bound", "a hang", "        if len(seen) > most:\n            return Search(None, len(seen))\n", "", "faults/test_judge.py::test_a_history_that_is_too_long_is_undecided_and_a_violation"),
        ),
    ),
    (
        "testing/judge/__init__.py",
        "faults/test_judge.py",
        (
            ("judge-failover-explains-all", "a bug unseen", "if observed.forgetful and each.forgivable]", "if observed.forgetful]", "faults/test_judge.py::test_a_failover_does_not_explain_a_phantom"),
            ("judge-forgives-without-failover", "a bug unseen", "if observed.forgetful and each.forgivable]", "if each.forgivable]", "faults/test_judge.py::test_a_lost_task_is_found"),
        ),
    ),
    (
        "worker/availability/outages.py",
        "worker/test_outage.py",
        (
            ("outages-stopped-queue-counts-as-away", "health", "        if queue in self.stopped:\n            return\n        now", "        now", "worker/test_outage.py::test_a_queue_that_is_stopped_is_not_away_as_well"),
            ("outages-short-ones-logged", "the log", "return end - self.since >= OUTAGE_TOLD_AFTER", "return True", "worker/test_outage.py::test_a_lost_answer_is_no_outage"),
            ("outages-never-over", "health", "return self.answered_at > self.failed_at and now - self.failed_at >= OUTAGE_QUIET", "return False", "worker/test_outage.py::test_a_queue_that_is_away_has_its_own_reason_in_health"),
            ("outages-over-with-the-first-answer", "the log", "return self.answered_at > self.failed_at and now - self.failed_at >= OUTAGE_QUIET", "return self.answered_at > self.failed_at", "worker/test_outage.py::test_a_server_that_refuses_some_calls_and_answers_others_is_one_outage"),
            ("outages-no-reminder", "the log", "elif lasting and now - self._logged_at >= OUTAGE_REMINDER:", "elif False:", "worker/test_outage.py::test_an_outage_is_told_once_and_ended_once"),
            ("outages-end-unsaid", "the log", "            self.limiter.warning(text, _named(self._ended), longest)\n", "", "worker/test_outage.py::test_an_outage_is_told_once_and_ended_once"),
            ("outages-reasons-hide-stopped", "health", "        for queue, reason in self.stopped.items():\n            yield", "        for queue, reason in ():\n            yield", "worker/test_outage.py::test_a_damaged_queue_is_stopped_alone_and_loudly"),
            ("outages-retried-without-pause", "calls", "        return longest * random.uniform(0.5, 1.0)\n", "        return 0.001\n", "actors/test_keeper.py worker/test_outage.py"),
        ),
    ),
    (
        "worker/availability/log_limiter.py",
        "worker/test_outage.py",
        (
            ("log-limiter-unlimited", "the log", "if window.logged == RECORDS_PER_WINDOW:", "if False:", "worker/test_outage.py::test_many_lost_leases_make_few_records"),
        ),
    ),
    (
        "worker/availability/probes.py",
        "worker/test_outage.py",
        (
            ("probes-answer-unsaid", "lateness", "                self.on_answer(queue)\n", "", "actors/test_poller.py worker/test_outage.py::test_a_lost_answer_is_no_outage"),
        ),
    ),
    (
        "tasks/for_each.py",
        "tasks/test_for_each.py",
        (
            ("for-each-one-after-another", "slow reads", "AT_ONCE = 32", "AT_ONCE = 1", "tasks/test_for_each.py"),
            ("for-each-first-failure-ends-all", "other partitions", "            except RediqError as error:\n                failures[queue] = error\n", "            except RediqError as error:\n                failures[queue] = error\n                return\n", "tasks/test_for_each.py"),
            ("for-each-unbounded", "memory", "range(min(AT_ONCE, len(queues)))", "range(len(queues))", "tasks/test_for_each.py"),
            ("for-each-others-unsaid", "errors", " if others else \"\"\n", " if False else \"\"\n", "tasks/test_for_each.py"),
        ),
    ),
)  # fmt: skip


def _mutants() -> Iterator[PythonMutant]:
    for path, suite, rows in _TABLE:
        for name, breaks, old, new, *own in rows:
            tests = (own[0] if own else suite).split()
            yield PythonMutant(
                name, path, breaks, old, new, tuple(f"tests/{test}" for test in tests), name in HANG
            )


MUTANTS = tuple(_mutants())
