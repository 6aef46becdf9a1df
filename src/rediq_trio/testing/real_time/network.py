"""RealNetwork: hosts of this process that are connected to a real Redis."""

from __future__ import annotations

from rediq_trio._errors import ConfigError
from rediq_trio.testing.effects import HANDLER_STEP
from rediq_trio.testing.faults import PlannedFaults
from rediq_trio.testing.real_time.redis_process import RedisProcess
from rediq_trio.testing.simulated.host_network import HostNetwork
from rediq_trio.testing.wire import Spoil
from rediq_trio.testing.world import Host, World


class RealNetwork(HostNetwork):
    """Hosts whose connections Redis knows by the name of their host."""

    def __init__(self, world: World, redis: RedisProcess) -> None:
        super().__init__(world)
        self._redis = redis

    def open_host(self, name: str) -> tuple[Host, str]:
        """Add a host; return it, and the URL of its connections."""
        return self.world.add_host(name), self._redis.url(name)

    def disconnect(self, host: Host) -> None:
        """Break the connections of a host."""
        self._redis.break_connections(host.name)

    def freeze(self, host: Host, seconds: float) -> None:
        """Refuse."""
        raise needs_simulated_time("freeze")


class RealPlannedFaults(PlannedFaults):
    """The faults that are possible in real time: a kill at a step of a handler."""

    def add(self, host: str, name: str, nth: int, spoil: Spoil) -> None:
        """Plan a kill; raise `ConfigError` for anything else."""
        if name != HANDLER_STEP:
            raise ConfigError.of(
                "effect", name, f"{HANDLER_STEP!r}: calls to a real Redis are not counted"
            )
        if spoil.kind != "kill":
            raise needs_simulated_time(f"at().{spoil.kind}")
        super().add(host, name, nth, spoil)


def needs_simulated_time(what: str) -> ConfigError:
    """Return the error for what is not possible in real time."""
    return ConfigError(
        f"{what} is not possible on embedded://: its Redis runs in real time, which passes on its own, "
        "and nothing can make it pass faster or last longer. Use memory://, or leave this out"
    )
