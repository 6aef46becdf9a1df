"""The worker and producer processes: started, ended and replaced, each by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq
from tests.chaos.observe import Observer, ready_file

HERE = Path(__file__).parents[2]
LOOK = 0.1
"""Seconds between looks at the processes."""
BACK_WITHIN = 30.0
"""Seconds in which processes have to be back at work."""
REPLACED_AFTER = 0.5
"""Seconds until a process that has gone is replaced."""


@attrs.define(eq=False)
class Member:
    """One place in the fleet, and the process that has it now."""

    program: str
    """`worker` or `producer`."""
    label: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    incarnation: int = -1
    doomed: bool = False
    """It is to die: a fault has killed it, or it was told to stop."""
    frozen: bool = False
    retired: bool = False
    """It is not replaced any more."""

    @property
    def name(self) -> str:
        """What the process calls itself, and its file of observations."""
        return f"{self.label}.{self.incarnation}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@attrs.define(eq=False)
class Fleet:
    """All processes of a run."""

    folder: Path
    url: str
    seed: int
    observer: Observer
    members: list[Member] = attrs.field(factory=list)
    suicides: set[str] = attrs.field(factory=set)
    """Ids of the poison tasks: whoever runs one is dead."""
    unexpected: list[str] = attrs.field(factory=list)
    """What died though nobody had killed it."""

    def hire(self, program: str, label: str, *arguments: str) -> Member:
        """Add a place and start its process."""
        member = Member(program, label, arguments)
        self.members.append(member)
        self._start(member)
        return member

    def _start(self, member: Member) -> None:
        member.incarnation += 1
        member.doomed = member.frozen = False
        environment = {name: text for name, text in os.environ.items() if "REDIQ" not in name}
        source = str(Path(rediq.__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join([source, str(HERE)])
        command = [
            sys.executable, "-m", f"tests.chaos.{member.program}", self.url, str(self.folder),
            member.name, "--seed", f"{self.seed}:{member.name}", *member.arguments,
        ]  # fmt: skip
        with self._errors(member).open("wb") as errors:
            member.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stderr=errors
            )

    def _errors(self, member: Member) -> Path:
        return self.folder / f"{member.name}.stderr"

    def places(self, program: str) -> list[Member]:
        """Return the places of a program, filled or not."""
        return [member for member in self.members if member.program == program]

    def workers(self) -> list[Member]:
        """Return the places of workers that live and are not frozen."""
        return [m for m in self.places("worker") if m.alive and not m.frozen]

    def producers(self) -> list[Member]:
        """Return the places of producers that live."""
        return [m for m in self.places("producer") if m.alive]

    async def wait_ready(self) -> None:
        """Wait until every place is filled by a process that is at work."""
        with trio.move_on_after(BACK_WITHIN):
            while not all(m.retired or (m.alive and self._is_ready(m)) for m in self.members):
                await trio.sleep(LOOK)

    def _is_ready(self, member: Member) -> bool:
        return ready_file(self.folder, member.name).exists()

    def kill(self, member: Member) -> None:
        """End a process at once; it is replaced."""
        self._signal(member, signal.SIGKILL)

    def terminate(self, member: Member) -> None:
        """Ask a process to stop; it is replaced."""
        self._signal(member, signal.SIGTERM)

    def _signal(self, member: Member, number: signal.Signals) -> None:
        assert member.process is not None
        member.doomed = True
        member.process.send_signal(number)

    def freeze(self, member: Member) -> None:
        """Stop a process with SIGSTOP."""
        assert member.process is not None
        member.frozen = True
        member.process.send_signal(signal.SIGSTOP)

    def thaw(self, member: Member) -> None:
        """Continue a stopped process."""
        assert member.process is not None
        member.process.send_signal(signal.SIGCONT)
        member.frozen = False

    async def tend(self) -> None:
        """Replace what has gone, until cancelled."""
        while True:
            for member in self.members:
                if member.retired or member.process is None or member.process.poll() is None:
                    continue
                self._judge_exit(member, member.process.returncode)
                await trio.sleep(REPLACED_AFTER)
                if not member.retired:
                    self._start(member)
            await trio.sleep(LOOK)

    def _judge_exit(self, member: Member, status: int) -> None:
        if member.doomed:
            return
        if status == -signal.SIGKILL and self._took_poison(member):
            self.observer.note("fault", kind="poisoned", target=member.name, begin=True)
            self.observer.note("fault", kind="poisoned", target=member.name, begin=False)
            return
        errors = self._errors(member).read_text("utf-8", "replace")[-2000:]
        self.unexpected.append(f"{member.name} ended with status {status}: {errors}")

    def _took_poison(self, member: Member) -> bool:
        seen = (self.folder / f"{member.name}.jsonl").read_text("utf-8")
        return any(f'"id":"{task}"' in seen for task in self.suicides)

    async def dismiss(self, members: Sequence[Member], within: float) -> None:
        """Ask processes to stop, and wait for it. They are not replaced."""
        for member in members:
            member.retired = True
        for member in members:
            if member.alive:
                self.terminate(member)
        with trio.move_on_after(within) as waited:
            while any(member.alive for member in members):
                await trio.sleep(LOOK)
        if waited.cancelled_caught:
            stuck = [member.name for member in members if member.alive]
            self.unexpected.append(f"did not stop within {within:g} s: {', '.join(stuck)}")

    def end(self) -> None:
        """End whatever is left, at once."""
        for member in self.members:
            if member.process is not None:
                if member.process.poll() is None:
                    member.process.send_signal(signal.SIGCONT)
                    member.process.kill()
                member.process.wait()
