"""Encryption: the keys, and how bytes are encrypted and decrypted with them.

The cipher is AES-256-GCM. Each message has a key of its own, derived with HMAC-SHA256 from the user's
key and 96 random bits. Together with GCM's nonce these are 192 random bits, so any number of
messages may be encrypted. This is the construction of XAES-256-GCM (https://c2sp.org/XAES-256-GCM),
with HMAC in place of CMAC. The queue and the task of a message are authenticated with it, so a
message that was moved to another task cannot be decrypted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.wire.packing import ENCRYPTED, UNDECRYPTED, extension_of, pack, pack_extension

KEY_BYTES = 32
KEYS_VARIABLE = "REDIQ_ENCRYPTION_KEYS"
CLEAR_VARIABLE = "REDIQ_ENCRYPTION_ALLOW_CLEAR"
_VERSION = b"\x01"
_ID, _SALT, _NONCE = 4, 12, 12
_HEAD = 1 + _ID + _SALT + _NONCE
_EXTRA = "pip install 'rediq-trio[encryption]'"


def _aead() -> tuple[Any, type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigError(f"encryption needs the package cryptography: {_EXTRA}") from None
    return AESGCM, InvalidTag


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), hashlib.sha256)


@attrs.frozen(repr=False)
class _Key:
    """One key of the user, with the keys that are derived from it."""

    id: bytes
    cipher_key: bytes
    hash_key: bytes
    nonce_key: bytes

    @classmethod
    def of(cls, given: object) -> _Key:
        key = _read_key(given)
        return cls(
            _mac(key, b"rediq id")[:_ID],
            *(_mac(key, b"rediq " + what) for what in (b"seal", b"hash", b"steady")),
        )


def _read_key(given: object) -> bytes:
    # No error shows the value, which is a secret.
    key = given
    if isinstance(given, str):
        try:
            key = base64.b64decode(
                given.strip() + "=" * (-len(given.strip()) % 4), b"-_", validate=True
            )
        except (binascii.Error, ValueError):
            key = b""
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ConfigError(
            f"keys: each must be {KEY_BYTES} bytes, or a text from Encryption.generate_key()"
        )
    return key


class Encryption:
    """Keys that hide payloads, metadata, results, steps, progress, errors, notes and the audit from
    whoever reads Redis.

    The first key encrypts; any of them may decrypt. `keys`: texts made by `generate_key`, or 32
    bytes each. `allow_clear` accepts unencrypted payloads too, while encryption is introduced;
    without it, a task with one goes to dead. Raises `ConfigError` for a bad key, and when the
    package `cryptography` is missing.
    """

    def __init__(self, keys: Sequence[str | bytes], *, allow_clear: bool = False) -> None:
        if not isinstance(allow_clear, bool):
            raise ConfigError.of("allow_clear", allow_clear, "True or False")
        if isinstance(keys, str | bytes) or not isinstance(keys, Sequence) or not keys:
            raise ConfigError("keys: must be a list of at least one key")
        self._keys = tuple(map(_Key.of, keys))
        self._allow_clear = allow_clear
        self._aead = _aead()

    def __repr__(self) -> str:
        return f"<Encryption with {len(self._keys)} keys>"

    @staticmethod
    def generate_key() -> str:
        """Generate a key: 44 characters. Keep it as secret as a password."""
        return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()

    def encrypt(self, data: bytes, *context: str, deterministic: bool = False) -> bytes:
        """Encrypt data that belongs to `context`; `deterministic` makes equal data look equal."""
        key = self._keys[0]
        packed_context = pack(context)
        if deterministic:
            entropy = _mac(key.nonce_key, packed_context, data)
        else:
            entropy = secrets.token_bytes(_SALT + _NONCE)
        salt, nonce = entropy[:_SALT], entropy[_SALT : _SALT + _NONCE]
        ciphertext = self._aead[0](_mac(key.cipher_key, salt)).encrypt(nonce, data, packed_context)
        return pack_extension(ENCRYPTED, b"".join((_VERSION, key.id, salt, nonce, ciphertext)))

    def decrypt(self, packed: bytes, *context: str) -> bytes:
        """Decrypt data that belongs to `context`; raise `PayloadError` with the reason if it fails."""
        found = extension_of(packed)
        if found is not None and found[0] == UNDECRYPTED:
            raise PayloadError(found[1].decode("utf-8", "replace"))
        if found is None or found[0] != ENCRYPTED:
            if self._allow_clear:
                return packed
            raise PayloadError(
                "not encrypted, and this process accepts nothing else; "
                f"Encryption(allow_clear=True), or {CLEAR_VARIABLE}=1, accepts it"
            )
        data = found[1]
        if len(data) < _HEAD or data[:1] != _VERSION:
            raise PayloadError("encrypted in a way that this version does not know, or damaged")
        ident = data[1 : 1 + _ID]
        salt, nonce = data[1 + _ID : _HEAD - _NONCE], data[_HEAD - _NONCE : _HEAD]
        candidates = [key for key in self._keys if hmac.compare_digest(key.id, ident)]
        if not candidates:
            raise PayloadError(
                f"encrypted with a key that is not among those given (see {KEYS_VARIABLE})"
            )
        cipher, invalid_tag = self._aead
        for key in candidates:
            try:
                plaintext: bytes = cipher(_mac(key.cipher_key, salt)).decrypt(
                    nonce, data[_HEAD:], pack(context)
                )
            except invalid_tag:
                continue
            return plaintext
        raise PayloadError("encrypted, and was changed, or belongs to another task")

    def hash_text(self, text: str) -> str:
        """Return a keyed hash of a text, 32 characters long, which does not reveal the text."""
        return _mac(self._keys[0].hash_key, text.encode("utf-8", "surrogatepass")).hex()[:32]


def resolve_encryption(given: object) -> Encryption | None:
    """Return the encryption passed in, else the one that the environment asks for, else None.

    Raises `ConfigError` for anything else, and for bad keys.
    """
    if isinstance(given, Encryption):
        return given
    if given is not None:
        raise ConfigError.of("encryption", type(given), "an Encryption, or None")
    text = os.environ.get(KEYS_VARIABLE, "")
    if not text.strip():
        return None
    clear = os.environ.get(CLEAR_VARIABLE, "").lower()
    if clear not in ("", "0", "false", "1", "true"):
        raise ConfigError.of(CLEAR_VARIABLE, clear, "true or false")
    return Encryption(text.replace(",", " ").split(), allow_clear=clear in ("1", "true"))
