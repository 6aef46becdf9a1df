"""Hash slots of a Redis Cluster.

From https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec: CRC16 (XMODEM) of
the text between the first `{` and the next `}`, or else of the whole key, modulo 16,384.
"""

from __future__ import annotations

from binascii import crc_hqx

SLOTS = 16_384


def slot_of(key: bytes) -> int:
    """Return the hash slot of a key, 0 to 16,383."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS
