"""What the handler of a type takes, as a worker says it."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class TaskSignature:
    """The names of the parameters of a handler."""

    required: tuple[str, ...] = ()
    """Those without a default, in their order."""
    optional: tuple[str, ...] = ()
    """Those with a default, in their order."""
    open: bool = False
    """Whether it takes others too, as `**kwargs`."""
