"""`rediq queue targets`: what its operators expect of a queue."""

from __future__ import annotations

from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import duration, read_duration, share, shown
from rediq_trio.values.limits import UNSET
from rediq_trio.values.targets import QueueTargets, pack_targets

TARGET_FLAGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--latency", {"metavar": "TIME", "help": "how long a pending task may wait; none removes it"}),
    ("--failures", {"metavar": "SHARE",
                    "help": "the share of attempts that may fail, like 1%%; none removes it"}),
)  # fmt: skip


async def show_or_set_targets(session: Session) -> int:
    options = session.arguments
    name = await session.known(options.queue)
    queue = session.client.queue(name)
    latency = UNSET if options.latency is None else _latency(options.latency)
    failures = UNSET if options.failures is None else _share(options.failures)
    try:
        pack_targets(latency, failures)
    except ConfigError as error:
        raise ConfigError(f"--{error}") from None
    given = (("latency", options.latency), ("failures", options.failures))
    said = ", ".join(f"{field} {shown(text)}" for field, text in given if text is not None)
    if said and not await session.agreed(f"set the targets of {shown(name)}: {said}"):
        return DONE
    targets = await queue.targets(latency=latency, failures=failures)
    session.out.object({"queue": name, "targets": targets})
    session.out.fields(f"targets of {shown(name)}", target_rows(targets) or [("none", "")])
    return DONE


def target_rows(targets: QueueTargets) -> list[tuple[str, str]]:
    """Return the targets of a queue as names and values."""
    rows: list[tuple[str, str]] = []
    if targets.latency is not None:
        rows.append(("target latency", duration(targets.latency)))
    if targets.failures is not None:
        rows.append(("target failures", share(targets.failures)))
    return rows


def _latency(text: str) -> float | None:
    try:
        return None if text == "none" else read_duration(text)
    except ValueError:
        raise ConfigError.of("--latency", text, "a duration like 30s, or none") from None


def _share(text: str) -> float | None:
    if text == "none":
        return None
    number, mark, rest = text.partition("%")
    try:
        if rest.strip():
            raise ValueError
        return float(number) / 100 if mark else float(number)
    except ValueError:
        raise ConfigError.of("--failures", text, "a share like 1% or 0.01, or none") from None
