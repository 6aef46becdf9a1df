"""Who types the commands: for the audit, and for the note of a pause."""

from __future__ import annotations

import getpass
import os
import socket

from rediq_trio.client import Client
from rediq_trio.store.audit.acting import WHERE_MAX, WHO_MAX


def acting_person(client: Client) -> Client:
    """Return the client for whoever runs this process: `user@host`, and the address over SSH."""
    where = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return client.acting(who=person(), tool="rediq", where=_text(where, WHERE_MAX))


def person() -> str:
    """Return who runs the command: the user's name at that of the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = str(os.getuid())
    return _text(f"{user}@{socket.gethostname()}", WHO_MAX)


def _text(text: str, most: int) -> str:
    # A name with bytes that are no UTF-8 has surrogates.
    return text.encode("utf-8", "replace").decode()[:most]
