from __future__ import annotations

import pytest
import redis.exceptions

from rediq_trio.store.redis.connection.address import RedisNode, parse_address
from rediq_trio.store.redis.connection.connection import Connector, disconnect
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.store.redis.connection.topology import Sentinels
from tests.clusters import single, wait_until


async def test_a_master_that_was_demoted_is_left_before_a_command_is_refused() -> None:
    connector = Connector(parse_address("redis+sentinel://127.0.0.1:1/main"))
    topology = Sentinels(connector)
    with single() as master, single("redis-7", "--replicaof", "127.0.0.1", str(master.port)) as old:
        wait_until("a replica", lambda: old.role() == "slave")
        async with open_loop():
            # As the Sentinels have said, a moment ago.
            topology._master = RedisNode("127.0.0.1", old.port)
            with pytest.raises(redis.exceptions.ConnectionError, match="no master yet"):
                await as_trio(topology.connect_any)()
            topology._master = RedisNode("127.0.0.1", master.port)
            connection = await as_trio(topology.connect_any)()
            await as_trio(disconnect)(connection)
            await as_trio(connector.close)()
