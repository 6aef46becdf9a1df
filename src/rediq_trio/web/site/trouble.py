"""What goes wrong with a request, as a page that says what to do: no answer is a bare 500."""

from __future__ import annotations

import logging
import secrets

import attrs

from rediq_trio import _errors as errors
from rediq_trio.web.site.page import NotFound, Refused

log = logging.getLogger("rediq_trio.web")


@attrs.frozen
class Trouble:
    """A page in place of the one that was asked for."""

    status: int
    title: str
    why: str
    next_step: str = ""
    """What to do."""


NO_PAGE = Trouble(
    404,
    "No such page",
    "There is no page at this address.",
    "Follow a link above, or find a task by its id.",
)
NOT_REACHED = Trouble(
    503,
    "Redis is away",
    "This page was started, and Redis could not be reached since.",
    "It is tried again every second; this page comes back by itself. The log of rediq web says why.",
)
_GONE = (
    errors.TaskNotFound,
    errors.ScheduleNotFound,
    errors.WorkerNotFound,
    errors.WorkflowNotFound,
    NotFound,
)
_OVERTAKEN = (
    errors.TaskStateError,
    errors.TaskChanged,
    errors.QueueNotEmpty,
    errors.OrderRefused,
    errors.DuplicateTask,
    errors.QueueFull,
)


def trouble_of(error: Exception) -> Trouble:
    """Return the page for an error."""
    why = " ".join(str(error).split())
    if why.partition(" ")[0].isalpha():  # else it is a name, as in "limit=0: must be"
        why = why[:1].upper() + why[1:]
    match error:
        case Refused():
            return Trouble(error.status, "Not done", why, error.next_step)
        case NotFound():
            return Trouble(404, "Not there", why, error.next_step)
        case errors.AccessRefused():
            step = (
                "Give the page's user of Redis this right: rediq doctor prints all that are needed."
            )
            return Trouble(503, "Redis refuses this", why, step)
        case errors.ServerRefused():
            return Trouble(
                503, "Redis refuses this now", why, "Try again; rediq doctor looks at the server."
            )
        case errors.ConnectionLost():
            step = "This page comes back by itself once Redis answers. Nothing is lost: workers go on then, too."
            return Trouble(503, "Redis is away", why, step)
        case errors.NewerTask():
            step = "Upgrade rediq-trio where this page is served."
            return Trouble(409, "Written by a newer version", why, step)
        case errors.Unconfirmed():
            step = "It was written. Look at the replicas: rediq doctor."
            return Trouble(503, "Done, and not confirmed", why, step)
        case errors.NotAudited():
            step = "Look whether the server takes writes: rediq doctor."
            return Trouble(503, "Done, and not in the audit", why, step)
        case _ if isinstance(error, _GONE):
            return Trouble(
                404, "Not there", why, "It may have been removed, or purged after its retention."
            )
        case _ if isinstance(error, _OVERTAKEN):
            return Trouble(409, "Not done", why, "Go back, and look at how it is now.")
        case errors.ConfigError() | errors.PayloadError():
            return Trouble(400, "That cannot be", why, "Go back, and change it.")
        case errors.RediqError():
            return Trouble(409, "Not done", why)
        case _:
            return _unexpected(error)


def _unexpected(error: Exception) -> Trouble:
    mark = secrets.token_hex(4)
    log.error("a page failed (%s)", mark, exc_info=error)
    return Trouble(
        500,
        "This page has failed",
        f"{type(error).__name__}: a fault of the page itself, in its log under {mark}.",
        "The other pages work. Please report it with the lines of the log.",
    )
