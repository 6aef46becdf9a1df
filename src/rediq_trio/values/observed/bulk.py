"""What is told of a change of many tasks: how far it is, and what it could do."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class BulkProgress:
    """How far a change of many tasks is."""

    done: int
    """Tasks that were changed."""
    refused: int
    """Tasks that were chosen and stay as they are: something keeps them so, or they have changed or
    gone since they were read."""
    looked_at: int
    """Tasks that were compared with the filter."""
    of: int
    """Tasks that were in the state when they were selected."""


@attrs.frozen(kw_only=True)
class Possible:
    """Of how many selected tasks something can be done."""

    can: int
    cannot: Mapping[str, int]
    """How many it cannot be done of, by the reason."""


@attrs.frozen(kw_only=True)
class SelectionPreview:
    """What can be done of the tasks of a selection, as they are now."""

    count: int
    """How many tasks there are."""
    retry: Possible
    cancel: Possible
    """An active task can be asked to stop."""
    delete: Possible
    requeue: Possible
