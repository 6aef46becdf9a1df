"""Task ids: `"<queue>/<id>"`, with a UUIDv7 as the local id unless the caller chooses one."""

from __future__ import annotations

from rediq_trio._errors import ConfigError, quote
from rediq_trio.values.bounds import NAME_BOUND, PartitionName, is_name, is_partition
from rediq_trio.values.chance import moment


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix time in ms, 12 bits of the fraction of
    that ms (section 6.2, method 3), then 62 random bits.

    Ids of one process sort by age, unless its clock is set back or is coarser than that.
    """
    at, drawn = moment(8)
    ms, ns = divmod(at, 1_000_000)
    random = int.from_bytes(drawn, "big") >> 2
    value = ms << 80 | 0x7 << 76 | (ns << 12) // 1_000_000 << 64 | 0x2 << 62 | random
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def split_id(task_id: object) -> tuple[str, str]:
    """Return the partition and the local id; raise `ConfigError` for a value that is no task id."""
    if isinstance(task_id, str):
        partition, _, local_id = task_id.partition("/")
        if is_partition(partition) and is_name(local_id):
            return (PartitionName(partition) if "~" in partition else partition), local_id
    raise ConfigError(
        f"id={quote(task_id)}: must be a task's id, '<queue>/<id>', each part {NAME_BOUND}"
    )
