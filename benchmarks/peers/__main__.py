"""The comparison, from the command line.

    python -m benchmarks.peers                                        some two hours
    python -m benchmarks.peers --quick --runs 1                       a look at all of it
    python -m benchmarks.peers --only saq,arq --metrics drain,idle
    python -m benchmarks.peers --json FILE                            written as it goes
    python -m benchmarks.peers --json FILE --resume                   goes on where that stopped

In each round every peer is asked for every figure once: all of them for the first, then all of
them for the second, so that whatever slows the machine down for a while meets them all.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from benchmarks.core import machine
from benchmarks.peers import record as recorded
from benchmarks.peers import venvs
from benchmarks.peers.children import AdapterFailed
from benchmarks.peers.measures import FULL, MEASURES, NEEDS, QUICK, Stage
from benchmarks.peers.picture import draw
from benchmarks.peers.record import Record, Sample
from benchmarks.peers.roster import OWN, ROSTER, Peer
from benchmarks.peers.tables import report
from benchmarks.server import run_server


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be measured."""

    runs: int
    peers: tuple[Peer, ...]
    measures: tuple[str, ...]
    quick: bool
    server: str | None
    venvs: Path
    json: Path | None
    svg: Path | None
    resume: bool

    @property
    def options(self) -> dict[str, object]:
        """What has to be the same for a run to be continued."""
        return {"quick": self.quick}

    def steps(self) -> Iterator[tuple[int, str, Peer]]:
        """Give every measurement, in its order."""
        for number in range(1, self.runs + 1):
            for measure in self.measures:
                for peer in self.peers:
                    yield number, measure, peer


def parse(arguments: Sequence[str] | None = None) -> Plan:
    """Read the command line, or what is given in its place."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    parser.add_argument(
        "--only", default="", metavar="PEER,...", help="peers whose name has one of these"
    )
    parser.add_argument("--metrics", default="", metavar="WORD,...", help="measures likewise")
    parser.add_argument(
        "--quick", action="store_true", help="far fewer tasks: shows that all works"
    )
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    parser.add_argument("--venvs", type=Path, default=venvs.default_folder(), metavar="DIR",
                        help="where the peers' environments are kept")  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every figure there, as it goes"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the figures there")
    parser.add_argument("--resume", action="store_true", help="go on with what --json has")
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error("--runs: must be at least 1")
    if given.resume and given.json is None:
        parser.error("--resume: needs --json, the file to go on with")
    peers = [peer for peer in ROSTER if _named(given.only, peer.name)]
    measures = [name for name in MEASURES if _named(given.metrics, name)]
    if not peers:
        parser.error(f"--only {given.only}: must be some of {', '.join(p.name for p in ROSTER)}")
    if not measures:
        parser.error(f"--metrics {given.metrics}: must be some of {', '.join(MEASURES)}")
    if given.only and not any(peer.name == OWN for peer in peers):
        peers.insert(0, ROSTER[0])  # whom they are compared with
    wanted = {*measures, *(needed for name in measures for needed in NEEDS.get(name, ()))}
    given.measures = tuple(name for name in MEASURES if name in wanted)
    given.peers = tuple(peers)
    del given.only, given.metrics
    return Plan(**vars(given))


def _named(words: str, name: str) -> bool:
    return not words or any(word in name for word in words.split(",") if word)


class Progress:
    """Says which measurement runs, of how many, and roughly how long the rest takes."""

    def __init__(self) -> None:
        self._took: dict[str, list[float]] = {}

    def took(self, measure: str, seconds: float) -> None:
        """Note how long a measurement took."""
        self._took.setdefault(measure, []).append(seconds)

    def left(self, measures: Sequence[str]) -> float:
        """Give roughly the seconds that these measurements will take."""
        every = [seconds for series in self._took.values() for seconds in series]
        usual = sum(every) / len(every) if every else 8.0
        means = {name: sum(series) / len(series) for name, series in self._took.items()}
        return sum(means.get(name, usual) for name in measures)

    def say(self, text: str) -> None:
        """Show a line: over the last one on a terminal, below it elsewhere."""
        if sys.stderr.isatty():
            print(f"\r\033[K{text[:118]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def prepare(plan: Plan, record: Record, progress: Progress) -> dict[str, Path]:
    """Make the peers' environments; give the interpreter of each that is there."""
    pythons: dict[str, Path] = {}
    for number, peer in enumerate(plan.peers, 1):
        progress.say(f"environment {number} of {len(plan.peers)}: {peer.name}")
        facts = {name: getattr(peer, name) for name in ("settings", "promise", "shown", "naps")}
        try:
            python = pythons[peer.name] = venvs.make(peer, plan.venvs)
            facts["versions"] = venvs.versions(peer, python)
        except venvs.NotInstalled as error:
            facts["missing"] = str(error)
        record.peers[peer.name] = facts
    return pythons


def run(plan: Plan, record: Record, progress: Progress) -> None:
    """Measure all that the record does not have yet."""
    pythons = prepare(plan, record, progress)
    steps = [
        (number, measure, peer)
        for number, measure, peer in plan.steps()
        if peer.name in pythons and not record.has(number, peer.name, measure)
    ]
    for place, (number, measure, peer) in enumerate(steps):
        if record.hopeless(peer.name, measure):
            continue
        left = progress.left([measure for _, measure, _ in steps[place:]]) / 60
        progress.say(
            f"{place + 1} of {len(steps)}: round {number} of {plan.runs}, {measure}, {peer.name}; "
            f"some {left:.0f} min left"
        )
        begin = time.monotonic()
        stage = Stage(
            peer=peer, python=pythons[peer.name], scale=QUICK if plan.quick else FULL,
            server=plan.server, seed=number, seen=record.seen(number, peer.name),
        )  # fmt: skip
        try:
            record.add(Sample(number, peer.name, measure, MEASURES[measure](stage)))
        except AdapterFailed as error:
            record.add(Sample(number, peer.name, measure, failed=str(error)))
        except Exception as error:  # whatever a peer leads to, the others are measured
            record.add(Sample(number, peer.name, measure, failed=repr(error)))
        progress.took(measure, time.monotonic() - begin)
        if plan.json is not None:
            record.write(plan.json)


def begin(plan: Plan) -> Record:
    """Give the record to go on with, or an empty one."""
    if plan.resume and plan.json is not None and plan.json.exists():
        record = recorded.read(plan.json)
        if record.options != plan.options:
            raise SystemExit(f"{plan.json}: was measured with {json.dumps(record.options)}")
        return record
    with run_server(plan.server) as bench:
        facts = machine(bench)
    words = " ".join(shlex.quote(word) for word in sys.argv[1:])
    return Record(
        facts={"command": f"python -m benchmarks.peers {words}".strip(), **facts},
        options=plan.options,
    )


def main() -> None:
    plan = parse()
    # Ended in order, so that no server and no worker is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    record, progress = begin(plan), Progress()
    stopped = False
    try:
        run(plan, record, progress)
    except KeyboardInterrupt:
        stopped = True
    progress.say("")
    rows = recorded.rows(plan.measures)
    print(report(record, rows))
    if plan.json is not None:
        record.write(plan.json)
    if plan.svg is not None:
        plan.svg.write_text(draw(record, rows), "utf-8")
    if stopped:
        sys.exit(130)


if __name__ == "__main__":
    main()
