"""How ids are stored, and so in which order a store finds them.

An id is stored as its text, a UUIDv7 as its 16 bytes. A reference to a task in
another queue has the queue's name and a slash in front; one to a task of the
same queue is its id alone.
"""

from __future__ import annotations

import re

_UUID7 = re.compile(r"[01][0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_uuid7(task_id: str) -> bool:
    """Say whether an id is a UUIDv7 as the library makes them."""
    return _UUID7.fullmatch(task_id) is not None


def pack_id(task_id: str) -> bytes:
    """Give an id as it is stored: a UUIDv7 in 16 bytes, any other as its text.

    A UUIDv7 begins with its time; until the year 3084 its first byte is
    one that no own id can begin with, so the two cannot meet.
    """
    if is_uuid7(task_id):
        return bytes.fromhex(task_id.replace("-", ""))
    return task_id.encode()


def unpack_id(stored: bytes) -> str:
    """Give the text of a stored id."""
    if len(stored) == 16 and stored[0] < 0x20:
        text = stored.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return stored.decode("utf-8", "replace")


def pack_ref(ref: str) -> bytes:
    """Give a reference as it is stored."""
    queue, slash, local_id = ref.rpartition("/")
    return f"{queue}{slash}".encode() + pack_id(local_id)


def unpack_ref(stored: bytes) -> str:
    """Give the text of a stored reference."""
    if stored[:1] < b" ":
        return unpack_id(stored)
    queue, slash, local_id = stored.partition(b"/")
    return (
        f"{queue.decode('utf-8', 'replace')}/{unpack_id(local_id)}" if slash else unpack_id(stored)
    )


def split_ref(ref: str) -> tuple[str, str]:
    """Give the queue of a reference, '' for the same one, and the id within it."""
    queue, _, local_id = ref.rpartition("/")
    return queue, local_id
