"""Redis as it is run in earnest: replicas watched by Sentinels, and a Cluster, on loopback.

Every process is ended by the pid that started it. `Node` can be killed, stopped and
started again, as a machine can.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import redis

from tests.servers import IN_MEMORY, find_servers, require_any_server

READY_WITHIN = 30.0
"""Seconds that servers have to find each other."""
NODE_TIMEOUT_MS = 1500
"""After that a node of the Cluster, or a master, counts as gone."""
SERVICE = "main"
"""What the Sentinels call the service."""
BUS = 10_000
"""A Cluster node's bus listens that far above its port."""

_given: set[int] = set()


def free_port(*, bus: bool = False) -> int:
    """Give a port on loopback that is free, and was not given before; with `bus`, that above too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port in _given or (bus and not _free(port + BUS)):
            continue
        _given.add(port)
        return port


def _free(port: int) -> bool:
    if port > 65_535:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(what: str, holds: Callable[[], bool], within: float = READY_WITHIN) -> None:
    """Wait until something holds; raise when it does not in time."""
    give_up = time.monotonic() + within
    while time.monotonic() < give_up:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{what}: not within {within:g} s")


@attrs.define(eq=False)
class Node:
    """One server process on a port."""

    program: Path
    folder: str
    port: int
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [str(self.program), *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_until(f"server on port {self.port}", self.answers)

    def answers(self) -> bool:
        """Say whether it answers."""
        return bool(self.ask("PING"))

    def ask(self, *command: Any) -> Any:
        """Send one command on a connection of its own and give the reply."""
        with redis.Redis(
            port=self.port, socket_timeout=5, decode_responses=True, single_connection_client=True
        ) as client:
            return client.execute_command(*command)

    def role(self) -> str:
        """Give `master` or `slave`."""
        return str(self.ask("ROLE")[0])

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Stop it where it stands."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def program_of(name: str) -> Path:
    """Return the program of a server by name, or of the newest that is there."""
    require_any_server()
    found = find_servers()
    return found[name] if name in found else [*found.values()][-1]


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="rediq-test-", dir=IN_MEMORY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended(nodes: list[Node]) -> Iterator[None]:
    try:
        yield
    finally:
        for node in nodes:
            # A master that is asked to end waits 10 s for its replicas, and nothing here is kept.
            node.kill()


def _server(program: Path, folder: str, port: int, *more: str) -> Node:
    own = Path(folder, str(port))
    own.mkdir()
    arguments = [
        "--port", str(port), "--bind", "127.0.0.1", "--dir", str(own), "--save", "",
        "--daemonize", "no", "--logfile", str(own / "log"), "--repl-diskless-sync-delay", "0",
        "--appendfsync", "everysec", "--repl-timeout", "10", *more,
    ]  # fmt: skip
    return Node(program, str(own), port, arguments)


@contextmanager
def single(name: str = "redis-7", *more: str) -> Iterator[Node]:
    """Run one server on a port while the block lasts."""
    with _folder() as folder:
        node = _server(program_of(name), folder, free_port(), *more)
        with _ended([node]):
            node.start()
            yield node


@attrs.define(eq=False)
class Replicated:
    """A master, its replicas and the Sentinels that watch them."""

    servers: list[Node]
    sentinels: list[Node]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def master(self) -> Node:
        """Give the server that most Sentinels hold for the master."""
        votes: dict[int, int] = {}
        for sentinel in self.sentinels:
            port = int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
            votes[port] = votes.get(port, 0) + 1
        port = max(votes, key=lambda port: votes[port])
        return next(node for node in self.servers if node.port == port)

    def wait_master(self, other_than: Node) -> Node:
        """Wait until another server is the master, and says so."""

        def changed() -> bool:
            master = self.master()
            return master is not other_than and master.role() == "master"

        wait_until("a new master", changed)
        return self.master()

    def wait_replicas(self, count: int) -> None:
        """Wait until the master has so many replicas that are in step."""
        wait_until(
            f"{count} replicas",
            lambda: sum(int(r[2]) > 0 for r in self.master().ask("ROLE")[2]) >= count,
        )


@contextmanager
def sentinel_set(
    name: str = "redis-7", *, replicas: int = 2, more: Sequence[str] = ()
) -> Iterator[Replicated]:
    """Run a master, its replicas and three Sentinels while the block lasts."""
    program = program_of(name)
    nodes: list[Node] = []
    with _folder() as folder, _ended(nodes):
        master = _server(program, folder, free_port(), *more)
        nodes.append(master)
        for _ in range(replicas):
            follow = ("--replicaof", "127.0.0.1", str(master.port), *more)
            nodes.append(_server(program, folder, free_port(), *follow))
        for node in nodes:
            node.start()
        found = Replicated([*nodes], [])
        for _ in range(3):
            sentinel = _sentinel(program, folder, free_port(), master.port)
            nodes.append(sentinel)
            found.sentinels.append(sentinel)
            sentinel.start()
        for sentinel in found.sentinels:
            wait_until("Sentinels that know each other", lambda s=sentinel: _knows(s, replicas))
        found.wait_replicas(replicas)
        yield found


def _sentinel(program: Path, folder: str, port: int, master: int) -> Node:
    own = Path(folder, f"sentinel-{port}")
    own.mkdir()
    conf = own / "sentinel.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {own}\nlogfile {own}/log\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MS}\n"
        f"sentinel failover-timeout {SERVICE} 6000\n"
        f"sentinel parallel-syncs {SERVICE} 2\n"
    )
    return Node(program, str(own), port, [str(conf), "--sentinel"])


def _knows(sentinel: Node, replicas: int) -> bool:
    flat = sentinel.ask("SENTINEL", "MASTER", SERVICE)
    said = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
    return int(said["num-other-sentinels"]) == 2 and int(said["num-slaves"]) == replicas


@attrs.define(eq=False)
class Cluster:
    """Masters that share the slots, each with a replica."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])
        return f"redis+cluster://{hosts}"

    def alive(self) -> Node:
        """Give a node that answers."""
        return next(node for node in self.nodes if node.process and node.answers())

    def owner(self, slot: int) -> Node:
        """Give the node that has a slot."""
        found = self._owner_or_none(slot)
        if found is None:
            raise RuntimeError(f"nobody has slot {slot}")
        return found

    def _owner_or_none(self, slot: int) -> Node | None:
        for first, last, master, *_ in self.alive().ask("CLUSTER", "SLOTS"):
            if int(first) <= slot <= int(last):
                return self.at(int(master[1]))
        return None

    def at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, master: Node) -> Node:
        """Give a replica of a master."""
        own = master.ask("CLUSTER", "MYID")
        for line in str(self._nodes(master)).splitlines():
            fields = line.split()
            if len(fields) > 3 and fields[3] == own:
                return self.at(int(fields[1].split("@")[0].rpartition(":")[2]))
        raise RuntimeError(f"port {master.port} has no replica")

    def wait_owner(self, slot: int, other_than: Node) -> Node:
        """Wait until another node has a slot; while a failover goes on, none may have it."""
        found = None

        def changed() -> bool:
            nonlocal found
            found = self._owner_or_none(slot)
            return found is not None and found is not other_than

        wait_until(f"a new owner of slot {slot}", changed)
        assert found is not None
        return found

    def wait_replicas(self) -> None:
        """Wait until each of three masters has a replica that is in step."""

        def replicated() -> bool:
            masters = [node for node in self.nodes if node.role() == "master"]
            roles = [master.ask("ROLE") for master in masters]
            return len(masters) == 3 and all(
                any(int(replica[2]) > 0 for replica in role[2]) for role in roles
            )

        wait_until("a replica for each master", replicated)

    def wait_whole(self) -> None:
        """Wait until every node that runs says that all is well."""
        for node in self.nodes:
            if node.process:
                wait_until(f"port {node.port}: cluster ok", lambda n=node: _is_ok(n))

    def move_slot(
        self, slot: int, target: Node, *, pause: Callable[[], None] | None = None
    ) -> None:
        """Move a slot with its keys, as `redis-cli --cluster reshard` does; `pause` in the middle."""
        source = self.owner(slot)
        ids = {node.port: node.ask("CLUSTER", "MYID") for node in (source, target)}
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        halves = 0
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 5):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            halves += 1
            if pause is not None and halves == 1:
                pause()
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        for node in self.nodes:
            if node not in (target, source) and node.process and node.role() == "master":
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])

    @staticmethod
    def _nodes(node: Node) -> str:
        # redis-py reads the answer of CLUSTER NODES into a dict: this asks for the text.
        with redis.Redis(port=node.port, decode_responses=True) as client:
            connection = client.connection_pool.get_connection()
            try:
                connection.send_command("CLUSTER", "NODES")
                return str(connection.read_response())
            finally:
                client.connection_pool.release(connection)


def _is_ok(node: Node) -> bool:
    said = node.ask("CLUSTER", "INFO")
    text = str(said)
    return "cluster_state" in text and ("cluster_state:ok" in text or "'ok'" in text)


@contextmanager
def cluster(name: str = "redis-7", *, more: Sequence[str] = ()) -> Iterator[Cluster]:
    """Run three masters and three replicas while the block lasts."""
    program = program_of(name)
    nodes: list[Node] = []
    with _folder() as folder, _ended(nodes):
        for _ in range(6):
            arguments = (
                "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
                "--cluster-config-file", "nodes.conf", "--cluster-replica-validity-factor", "0",
                "--cluster-migration-barrier", "9", *more,
            )  # fmt: skip
            node = _server(program, folder, free_port(bus=True), *arguments)
            nodes.append(node)
            node.start()
        found = Cluster(nodes)
        _meet(found)
        yield found


def _meet(cluster: Cluster) -> None:
    masters, replicas = cluster.nodes[:3], cluster.nodes[3:]
    bounds = [0, 5461, 10923, 16384]
    for n, node in enumerate(masters):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        node.ask("CLUSTER", "ADDSLOTS", *range(bounds[n], bounds[n + 1]))
    for node in cluster.nodes[1:]:
        node.ask("CLUSTER", "MEET", "127.0.0.1", cluster.nodes[0].port)
    ids = [node.ask("CLUSTER", "MYID") for node in masters]
    for node, master in zip(replicas, ids, strict=True):
        wait_until("nodes that know each other", lambda n=node, m=master: m in cluster._nodes(n))
        node.ask("CLUSTER", "REPLICATE", master)
    cluster.wait_whole()
    cluster.wait_replicas()
