"""The service manager's socket: what systemd hears from a worker that it started with `Type=notify`.

A thread sends it, because systemd must hear of a worker whose event loop is blocked for a while, and
must not hear from one that a restart would help: `WATCHDOG=1` is sent only while the worker is alive.
The protocol is that of sd_notify(3): a datagram of lines, to the socket that `NOTIFY_SOCKET` names.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager

import attrs

from rediq_trio._errors import ConfigError

log = logging.getLogger("rediq_trio")

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PID_VARIABLE = "WATCHDOG_PID"
STATUS_INTERVAL = 5.0
"""Seconds between two reports, at most."""
REPORTS_PER_WATCHDOG = 3
"""Reports within the time after which systemd would kill the process."""
_SEND_TIMEOUT = 1.0
"""Seconds that a datagram may wait for room in systemd's queue."""
_JOIN_WITHIN = 2.0
"""Seconds to wait for the thread's end."""
_USEC_PER_SECOND = 1_000_000


@attrs.frozen
class SelfReport:
    """What a worker says of itself."""

    alive: bool
    """Whether a restart would not help it."""
    text: str
    """One line for people."""


@attrs.define(eq=False)
class ServiceManager:
    """The service manager, or none: then nothing is sent. Made by `ServiceManager.of`."""

    _address: str | None = None
    watchdog: float | None = None
    """Seconds after which a silent process is killed; None for no such bound."""
    _warned: bool = False

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """Read the variables of systemd, and remove them: child processes must not answer for this one.

        Raises `ConfigError` for values that systemd would not set.
        """
        address = environment.pop(SOCKET_VARIABLE, "")
        watchdog = environment.pop(WATCHDOG_VARIABLE, "")
        pid = environment.pop(WATCHDOG_PID_VARIABLE, "")
        if not address:
            return cls()
        if address[0] not in "/@" or len(address) < 2:
            raise ConfigError.of(SOCKET_VARIABLE, address, "an absolute path, or @ and a name")
        if watchdog and not (watchdog.isdecimal() and int(watchdog) > 0):
            raise ConfigError.of(WATCHDOG_VARIABLE, watchdog, "a number of microseconds, 1 or more")
        if not watchdog or (pid and pid != str(os.getpid())):
            return cls(address)
        return cls(address, int(watchdog) / _USEC_PER_SECOND)

    @property
    def listens(self) -> bool:
        """Whether there is a service manager."""
        return self._address is not None

    @property
    def interval(self) -> float:
        """Seconds between two reports."""
        return min(STATUS_INTERVAL, (self.watchdog or math.inf) / REPORTS_PER_WATCHDOG)

    def send(self, *lines: str) -> None:
        """Send lines such as `READY=1` in one datagram. What fails is logged once: work goes on."""
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_TIMEOUT)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("the service manager at %s=%s cannot be reached: %s",
                            SOCKET_VARIABLE, self._address, error)  # fmt: skip

    def starting(self, text: str, within: float) -> None:
        """Report what the start waits for, and for how many seconds at most."""
        self.send(_status(text), _extended(within))

    def stopping(self, text: str, within: float) -> None:
        """Report that the stop has begun, and how many seconds it may take."""
        self.send("STOPPING=1", _status(text), _extended(within))

    @contextmanager
    def reporting(self, report: Callable[[], SelfReport]) -> Generator[None]:
        """Report that the process is ready, and go on from a thread until the block ends."""
        if not self.listens:
            yield
            return
        self.send("READY=1", _status(report().text))
        over = threading.Event()
        thread = threading.Thread(
            target=self._report, args=(report, over), name="rediq service manager", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_JOIN_WITHIN)

    def _report(self, report: Callable[[], SelfReport], over: threading.Event) -> None:
        while not over.wait(self.interval):
            found = report()
            alive = ("WATCHDOG=1",) if found.alive and self.watchdog else ()
            self.send(*alive, _status(found.text))


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


def _extended(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={math.ceil(seconds * _USEC_PER_SECOND)}"
