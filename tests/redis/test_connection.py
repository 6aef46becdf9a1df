"""What error replies mean, and what a connection raises that is closed."""

from __future__ import annotations

import pytest

from rediq_trio import (
    AccessRefused,
    ConfigError,
    ConnectionLost,
    PayloadTooLarge,
    ServerRefused,
    StoreError,
)
from rediq_trio.store.redis.connection.address import RedisNode, parse_address
from rediq_trio.store.redis.connection.connection import (
    BROKEN_ERRORS,
    Connector,
    abort,
    disconnect,
    send,
)
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.store.redis.connection.replies import ReplyParser, line_of, translate_error
from rediq_trio.store.redis.scripts import load_scripts
from tests.faults.error_lines import DAMAGED, PASSING
from tests.servers import Server

CLAIM = load_scripts()["claim"]


def parsed(line: str) -> Exception:
    parser = ReplyParser(65_536)
    parser.is_connected = True
    return parser.parse_error(line)


def test_a_script_that_meets_a_slot_on_the_move_may_have_been_carried_out() -> None:
    error = translate_error(
        "ERR Script attempted to access a non local key in a cluster node script: 72df, on @user_script:7."
    )
    assert isinstance(error, ServerRefused)
    assert error.sent
    assert "a slot of the Cluster is moving" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "LOADING later",
        "TRYAGAIN later",
        "OOM command not allowed when used memory > 'maxmemory'. script: 74, on @user_script:1.",
        "ERR Error running script (call to f_74): @user_script:1: @user_script: 1: -OOM command not allowed",
        "ERR Error running script (call to f_74): @user_script:1: MISCONF Redis is configured to save",
        "ERR Error running script (call to f_74): @user_script:1: Script killed by user with SCRIPT KILL...",
    ],
)
def test_a_command_that_cannot_be_taken_now_was_not_carried_out(line: str) -> None:
    error = translate_error(line, CLAIM)
    assert type(error) is ServerRefused
    assert not error.sent
    assert error.reply == line


@pytest.mark.parametrize("line", PASSING)
def test_a_refusal_that_passes_is_a_lost_call_that_says_what_redis_said(line: str) -> None:
    for script in (None, CLAIM):
        error = translate_error(line_of(parsed(line)), script, key=b"rediq:{mail}:meta", size=500)
        assert isinstance(error, ServerRefused)
        assert error.reply == line
        assert line in str(error)


@pytest.mark.parametrize("line", DAMAGED)
def test_what_no_repetition_can_mend_names_script_queue_and_reply(line: str) -> None:
    error = translate_error(line_of(parsed(line)), CLAIM, key=b"rediq:{mail}:meta")
    assert type(error) is StoreError
    assert (error.script, error.queue, error.reply) == ("claim", "mail", line)
    for part in ("claim", "mail", line):
        assert part in str(error)


def test_an_unknown_refusal_may_have_been_carried_out() -> None:
    error = translate_error("ERR upstream timed out")
    assert isinstance(error, ServerRefused)
    assert error.sent


@pytest.mark.parametrize(
    "line",
    ["NOPERM this user has no permissions to run the 'evalsha' command", "NOAUTH x", "MOVED 1 a:1"],
)
def test_a_wrong_access_is_a_wrong_configuration_and_a_refusal_that_passes(line: str) -> None:
    error = translate_error(line)
    assert isinstance(error, AccessRefused)
    assert isinstance(error, ConfigError)
    assert isinstance(error, ConnectionLost)


def test_the_secrets_of_a_url_in_a_reply_are_not_shown() -> None:
    error = translate_error("ERR upstream redis://user:hunter2@cache:6379 is away")
    assert isinstance(error, ServerRefused)
    assert "hunter2" not in str(error) + error.reply


@pytest.mark.parametrize(
    "line",
    [
        "ERR Protocol error: invalid bulk length",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        "ERR string exceeds maximum allowed size (512MB)",
    ],
)
def test_a_large_command_that_is_refused_for_its_size_is_told_with_its_bytes(line: str) -> None:
    error = translate_error(line, CLAIM, key=b"rediq:{mail}:meta", size=3_000_123)
    assert isinstance(error, PayloadTooLarge)
    for part in ("3,000,123 bytes", "claim", "mail", line):
        assert part in str(error)


def test_a_small_command_that_is_refused_for_its_size_is_sent_again() -> None:
    error = translate_error("ERR Protocol error: invalid bulk length", CLAIM, size=700)
    assert isinstance(error, ServerRefused)


async def test_a_command_on_a_connection_that_was_aborted_finds_it_broken(
    redis_server: Server,
) -> None:
    connector = Connector(parse_address(redis_server.url))
    async with open_loop():
        connection = await as_trio(connector.connect)(RedisNode())
        abort(connection)
        with pytest.raises(BROKEN_ERRORS):
            await as_trio(send)(connection, ("PING",))
        await as_trio(disconnect)(connection)
