"""How ids are stored, which also decides their order in a store.

A UUIDv7 is stored as its 16 bytes, any other id as its text. A reference to a task of another queue
is the queue's name, a slash and the id; a reference to a task of the same queue is the id alone.
"""

from __future__ import annotations

import re

_UUID7 = re.compile(r"[01][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def pack_id(task_id: str) -> bytes:
    """Return the stored form of an id: 16 bytes for a UUIDv7, else its text.

    A UUIDv7 begins with its time. Until the year 3084 its first byte is one that no id of a user
    can begin with, so the two forms cannot be confused.
    """
    if _UUID7.fullmatch(task_id):
        return bytes.fromhex(task_id.replace("-", ""))
    return task_id.encode()


def unpack_id(stored: bytes) -> str:
    """Return the text of a stored id."""
    if len(stored) == 16 and stored[0] < 0x20:
        text = stored.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return stored.decode("utf-8", "replace")


def pack_ref(ref: str) -> bytes:
    """Return the stored form of a reference."""
    queue, slash, local_id = ref.rpartition("/")
    return f"{queue}{slash}".encode() + pack_id(local_id)


def unpack_ref(stored: bytes) -> str:
    """Return the text of a stored reference."""
    if stored[:1] < b" ":
        return unpack_id(stored)
    queue, slash, local_id = stored.partition(b"/")
    return (
        f"{queue.decode('utf-8', 'replace')}/{unpack_id(local_id)}" if slash else unpack_id(stored)
    )


def split_ref(ref: str) -> tuple[str, str]:
    """Return the queue of a reference, '' for the same queue, and the id in it."""
    queue, _, local_id = ref.rpartition("/")
    return queue, local_id
