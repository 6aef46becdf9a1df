"""Logins that fail are slowed, by address and by user: each doubles the time until the next is looked at."""

from __future__ import annotations

from collections import OrderedDict

import attrs
import trio

FREE = 3
"""Failures in a row without a wait."""
WAIT_MAX = 60.0
"""Seconds that one waits at most: a user whom somebody else keeps out waits no longer either."""
FORGOTTEN_AFTER = 900.0
"""Seconds without a failure after which the count begins anew."""
REMEMBERED_MAX = 10_000
"""Addresses and users that are remembered."""


@attrs.define
class _FailedLogins:
    count: int = 0
    last: float = 0.0

    @property
    def free_at(self) -> float:
        wait = 0.0 if self.count < FREE else min(WAIT_MAX, 2.0 ** (self.count - FREE + 1))
        return self.last + wait


class Slowing:
    """How often logins failed of late, by anything that can be told apart."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _FailedLogins] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Return the seconds until a login with these keys is looked at; 0 for now."""
        now = trio.current_time()
        found = [self._failures[key].free_at - now for key in keys if key in self._failures]
        return max(0.0, *found) if found else 0.0

    def failed(self, *keys: str) -> None:
        """Count a failure for each of the keys."""
        now = trio.current_time()
        for key in keys:
            before = self._failures.pop(key, _FailedLogins())
            count = 0 if now - before.last > FORGOTTEN_AFTER else before.count
            self._failures[key] = _FailedLogins(count + 1, now)
        while len(self._failures) > REMEMBERED_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of these keys."""
        for key in keys:
            self._failures.pop(key, None)
