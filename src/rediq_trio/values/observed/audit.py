"""What people did through tools, and what they marked, as users read it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType

import attrs

MARK_MAX, MARK_BY_MAX = 200, 128
"""Maximum characters of a mark, and of the name of its author."""


@attrs.frozen(kw_only=True)
class AuditEntry:
    """One change that a person made through a tool. All texts may hold what anybody wrote."""

    id: str
    """Its place in the audit, for `Client.audit(after=)`."""
    at: dt.datetime
    """When it was over, by the clock of the server."""
    who: str
    """The login, or `user@host` for the command line; `(unreadable)` if it cannot be decrypted."""
    tool: str = ""
    """The tool that was used."""
    where: str = ""
    """Where the person was, as the tool saw it: an address, for example."""
    what: str
    """The operation, by its name in this library: `Queue.flush`, for example."""
    selection: Mapping[str, str] = MappingProxyType({})
    """What it was done to and with: queue, id or schedule, then its arguments, of which payloads
    and metadata are not kept."""
    count: int | None = None
    """How many it changed; None where there is nothing to count."""
    outcome: str
    """`done`; `failed` or `interrupted`, and then it may have happened, in whole or in part; `begun` for
    the first of the two entries of a change that is made step by step."""
    detail: str = ""
    """What became of it: a state, an id or an error."""


@attrs.frozen(kw_only=True)
class Mark:
    """A mark in the charts: a deployment, for example."""

    at: dt.datetime
    """When it was made, by the clock of the server."""
    by: str
    """Who made it, if they said so; `(unreadable)` if it cannot be decrypted."""
    text: str
