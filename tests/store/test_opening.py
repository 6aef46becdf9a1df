"""A store that is opened while its server is not there yet, or refuses."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import AccessRefused, ConfigError, ConnectionLost, ServerRefused
from rediq_trio.store.redis.scripts import load_scripts
from tests.faults.refuser import open_refuser
from tests.servers import Server

NAMES = {script.sha: script.name for script in load_scripts().values()}
WITHIN = 30.0


async def test_a_server_that_comes_later_is_waited_for(
    redis_server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "rediq_trio")
    path = tmp_path / "later"
    async with trio.open_nursery() as nursery:

        async def come() -> None:
            while "Trying again for up to 25 s" not in caplog.text:
                await trio.sleep(0.05)
            path.symlink_to(redis_server.socket)

        nursery.start_soon(come)
        with trio.fail_after(WITHIN):
            options = rediq.serve(
                rediq.App(), f"unix://{path}", key_prefix="later", connect_patience=25.0
            )
            async with options as server:
                assert server.health().alive
    assert "Redis was reached after" in caplog.text


async def test_a_server_that_is_not_there_is_told_at_once_by_default(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"cannot connect"):
        async with rediq.serve(rediq.App(), f"unix://{tmp_path}/s"):
            pass


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", ServerRefused),
        ("ERR max number of clients reached", ServerRefused),
        ("NOPERM this user has no permissions to run the 'info' command", AccessRefused),
    ],
)
async def test_a_refusal_at_the_start_says_what_redis_said(
    redis_server: Server, tmp_path: Path, line: str, kind: type[ServerRefused]
) -> None:
    async with open_refuser(tmp_path / "s", redis_server.socket, NAMES) as refuser:
        refuser.refused, refuser.line = "INFO", line
        with pytest.raises(kind) as caught:
            async with rediq.connect(refuser.url):
                pass
        assert line in str(caught.value)
        assert caught.value.reply == line


async def test_a_server_that_is_loading_is_waited_for_and_a_wrong_user_is_not(
    redis_server: Server, tmp_path: Path
) -> None:
    async with open_refuser(tmp_path / "s", redis_server.socket, NAMES) as refuser:
        refuser.refused, refuser.line = "PING", "LOADING Redis is loading the dataset in memory"
        async with trio.open_nursery() as nursery:

            async def load() -> None:
                while refuser.refusals < 3:
                    await trio.sleep(0.05)
                refuser.refused = ""

            nursery.start_soon(load)
            with trio.fail_after(WITHIN):
                async with rediq.serve(
                    rediq.App(), refuser.url, key_prefix="loading", connect_patience=25.0
                ):
                    pass
        refuser.refused, refuser.line = "INFO", "NOAUTH Authentication required."
        refuser.refusals = 0
        with pytest.raises(ConfigError, match="NOAUTH"):
            async with rediq.serve(rediq.App(), refuser.url, connect_patience=25.0):
                pass
        assert refuser.refusals == 1


async def test_a_database_that_the_server_lacks_is_a_wrong_configuration(
    redis_server: Server,
) -> None:
    with pytest.raises(ConfigError, match="no database of that number"):
        async with rediq.connect(f"{redis_server.url}?db=99"):
            pass
