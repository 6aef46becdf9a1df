"""The guard of a simulation's real time: a thread that notices when a step of it does not end.

Simulated time cannot tell: while a handler blocks, it stands still. The thread is started with the
simulation, sleeps, and looks at nothing but a counter.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import traceback
from collections.abc import Callable

STUCK_AFTER = 10.0
"""Real seconds without progress after which a simulation is stuck."""
GUARD_CHECKS = 10
"""How often progress is checked within that time."""
STEPS_OUT_WITHIN = 0.5
"""Real seconds in which a simulation ends that is stuck but not in a single step. It is not interrupted:
that would come after its end, and hit the test."""


class Interrupted(BaseException):
    """Ends the step that is stuck, wherever it is."""


class StuckGuard:
    """Watches a counter while a thread is inside of a simulation."""

    def __init__(self, progress: Callable[[], int], report: Callable[[str], None]) -> None:
        self._progress = progress
        self._report = report
        self._inside: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="rediq simulation guard", daemon=True
        )
        self._thread.start()

    def enter(self) -> None:
        """Note that this thread runs the simulation now."""
        self._inside = threading.get_ident()

    def leave(self) -> None:
        """Note that it does so no more."""
        self._inside = None

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        seen, unchanged = -1, 0
        while not self._over.wait(STUCK_AFTER / GUARD_CHECKS):
            now = self._progress()
            unchanged = unchanged + 1 if self._inside is not None and now == seen else 0
            seen = now
            inside = self._inside
            if unchanged >= GUARD_CHECKS and inside is not None:
                self._report(_stack(inside))
                if not self._over.wait(STEPS_OUT_WITHIN) and self._inside == inside:
                    self._interrupt(inside)
                unchanged = 0

    def _interrupt(self, thread: int) -> None:
        if thread == threading.main_thread().ident:
            # Ends a call into C as well, such as time.sleep().
            signal.pthread_kill(thread, signal.SIGINT)
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(Interrupted)
            )


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "" if frame is None else "".join(traceback.format_stack(frame)[-6:])
