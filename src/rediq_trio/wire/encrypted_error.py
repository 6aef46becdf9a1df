"""The text of an error that is encrypted, as it lies in a record.

The field of a record is a text that scripts compare and cut. So a ciphertext is kept there as a text
too: `ENCRYPTED_ERROR`, then the packed ciphertext in base64. A text that only begins like one is clear.
"""

from __future__ import annotations

import base64
import binascii

from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from rediq_trio.wire.packing import (
    UNDECRYPTED,
    EncryptedFound,
    extension_of,
    pack_extension,
    unpack,
)


def hidden_error(packed: bytes) -> str:
    """Return an encrypted error as the text that lies in a record."""
    return ENCRYPTED_ERROR + base64.b64encode(packed).decode()


def undecrypted_error(reason: str) -> str:
    """Return what stands for an error that could not be decrypted."""
    return hidden_error(pack_extension(UNDECRYPTED, reason.encode("utf-8", "replace")))


def ciphertext_of(error: str) -> bytes | None:
    """Return the packed ciphertext that the error of a record is; None if it is clear."""
    if not error.startswith(ENCRYPTED_ERROR):
        return None
    try:
        packed = base64.b64decode(error[len(ENCRYPTED_ERROR) :], validate=True)
    except (binascii.Error, ValueError):
        return None
    return packed if extension_of(packed) else None


def why_hidden(error: str) -> str | None:
    """Return why the error of a record cannot be read; None if it can."""
    packed = ciphertext_of(error)
    if packed is None:
        return None
    try:
        unpack(packed)
    except EncryptedFound as reason:
        return str(reason)
    except ValueError:
        return "damaged"
    return "damaged"


def shown_error(error: str) -> str:
    """Return the error of a record as a reader sees it; one that cannot be read says why."""
    reason = why_hidden(error)
    return error if reason is None else f"(unreadable: {reason})"
