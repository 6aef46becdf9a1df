"""How the command line prints an error: in one line, with what to do next."""

from __future__ import annotations

from rediq_trio._errors import ConnectionLost, RediqError, WorkerCrashed

_NEXT: tuple[tuple[type[RediqError], str], ...] = (
    (ConnectionLost, "Start it, or name another server with --url or REDIQ_URL"),
    (WorkerCrashed, "This is a bug: run it again with --log-level debug and report what it says"),
)
"""What to do next, for messages that do not say it."""


def explain(error: RediqError) -> str:
    """Return an error as one line that says what to do next."""
    said = " ".join(str(error).split())
    for kind, hint in _NEXT:
        if isinstance(error, kind):
            said = said.rstrip(".")
            return f"{said}{'' if said.endswith('?') else '.'} {hint}"
    return said
