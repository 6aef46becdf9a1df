from __future__ import annotations

import argparse
import gc
import re
import signal
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError
from rediq_trio.cli.flags import flag_of
from rediq_trio.cli.run import (
    GC_THRESHOLDS,
    add_command,
    given_options,
    read_options,
    read_processes,
)
from rediq_trio.settings import Settings, read_setting, setting_texts
from tests.cli.conftest import WITHIN, Place, Start, call, cli_call, eventually
from tests.servers import Server

PAGES = Path(__file__).parents[2] / "docs"
SIGNALS = [signal.SIGTERM, signal.SIGINT]


async def _running(client: rediq.Client, count: int) -> None:
    async def look() -> bool:
        return (await client.queue("default").stats()).active == count

    await eventually(look)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_worker_ends_with_status_0_at_a_signal(
    number: signal.Signals, cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            (worker,) = await eventually(client.workers)
            assert worker.pid == command.pid
            command.signal(number)
            assert await trio.to_thread.run_sync(command.end) == 0
            assert await client.workers() == []

    trio.run(main)


def test_a_handler_in_mid_flight_may_finish(
    cli_start: Start, cli_place: Place, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    command = cli_start("run", "served:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("wait-for", path=str(end)))
            # A task that is claimed and has not begun is given back by a stop.
            await eventually(trio.Path(f"{end}.begun").exists)
            command.signal()
            await command.wait_said("stopping")
            end.touch()
            assert await handle.result(timeout=WITHIN) == "it is there"

    trio.run(main)
    assert command.end() == 0


def test_what_does_not_finish_within_the_grace_is_given_back_uncharged(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--shutdown-grace=0.2")

    async def main() -> None:
        async with cli_place.client() as client:
            tasks = [call("sleep", seconds=600) for _ in range(30)]
            handles = await client.enqueue_many(tasks)
            await _running(client, 10)
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
            infos = [await handle.info() for handle in handles]
            assert {info.state for info in infos} == {rediq.State.PENDING}
            assert {info.attempt for info in infos} == {0}
            assert [info.deliveries for info in infos[:10]] == [1] * 10
            assert await client.queue("default").check() == []

    trio.run(main)


def test_the_second_signal_cancels_what_runs(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--shutdown-grace=3600")

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("sleep", seconds=600))
            await _running(client, 1)
            command.signal()
            await command.wait_said("stopping")
            command.signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(command.end) == 0
            info = await handle.info()
            assert (info.state, info.attempt) == (rediq.State.PENDING, 0)

    trio.run(main)


def test_the_second_signal_ends_a_process_whose_threads_do_not_end(
    cli_start: Start, cli_place: Place
) -> None:
    graces = ("--shutdown-grace=0.1", "--cleanup-grace=0.2")
    command = cli_start("run", "served:app", *cli_place.flags, *graces)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("block", seconds=600))
            # Claimed only, it would be given back before it has a thread.
            await command.wait_said("in its thread")
            command.signal()

            async def given_back() -> bool:
                return (await handle.info()).state is rediq.State.PENDING

            await eventually(given_back)
            assert (await handle.info()).attempt == 0
            await command.wait_said("a second signal ends the process")
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 1

    trio.run(main)
    assert "1 handlers do not end" in command.said().splitlines()[-1]


def test_a_burst_ends_by_itself(cli_start: Start, cli_place: Place) -> None:
    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("pid"))
            command = cli_start("run", "served:app", *cli_place.flags, "--burst")
            assert await trio.to_thread.run_sync(command.end) == 0
            assert await handle.result(timeout=10) == command.pid

    trio.run(main)


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("wish", ["", "5000", "off"])
def test_full_garbage_collections_are_rare_unless_the_app_has_a_wish(
    wish: str, processes: str, cli_start: Start, cli_place: Place
) -> None:
    flags = ("--processes", processes, *cli_place.flags)
    command = cli_start("run", "served:app", *flags, SERVED_COLLECTS=wish)

    async def main() -> list[int]:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("collector"))
            found: list[int] = await handle.result(timeout=WITHIN)
            return found

    *thresholds, frozen = trio.run(main)
    if wish == "off":
        assert (thresholds, frozen) == ([*gc.get_threshold()], 0)
    elif wish:
        assert (thresholds, frozen) == ([5000, *gc.get_threshold()[1:]], 0)
    else:
        assert tuple(thresholds) == GC_THRESHOLDS
        assert frozen > 10_000
    command.signal()
    assert command.end() == 0


def test_several_processes_are_refused_on_windows() -> None:
    with pytest.raises(ConfigError, match=r"processes='2': must be 1 on Windows.* several times"):
        read_processes("2", "win32")
    assert (read_processes("1", "win32"), read_processes("2", "linux")) == (1, 2)


def test_flags_win_over_the_environment(cli_start: Start, cli_place: Place) -> None:
    settings = {"REDIQ_CONCURRENCY": "3", "REDIQ_QUEUES": "a,b", "REDIQ_NAME": "known"}
    command = cli_start("run", "served:app", *cli_place.flags, "--queues=c=3,d=1", **settings)

    async def main() -> None:
        async with cli_place.client() as client:
            (worker,) = await eventually(client.workers)
            assert (worker.id, worker.concurrency) == ("known", 3)
            assert worker.queues == ("c", "d")

    trio.run(main)
    command.signal()
    assert command.end() == 0


def test_without_queues_those_of_the_app_are_served_and_the_default_one(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "many:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            (worker,) = await eventually(client.workers)
            assert worker.queues == ("default", "mail", "ticks")

    trio.run(main)
    command.signal()
    assert command.end() == 0


def test_the_url_may_come_from_the_environment(cli_place: Place) -> None:
    flags = (f"--key-prefix={cli_place.prefix}", "--burst")
    found = cli_call("run", "served:app", *flags, REDIQ_URL=cli_place.url)
    assert found.returncode == 0
    assert f"serves default on {cli_place.url}" in found.stderr


def test_the_log_can_be_silenced(cli_place: Place) -> None:
    flags = ("--burst", "--log-level=warning")
    found = cli_call("run", "served:app", *cli_place.flags, *flags)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_terminal_that_closes_stops_a_worker_in_good_order(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--shutdown-grace=0.1")

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("sleep", seconds=600))
            await _running(client, 1)
            command.signal(signal.SIGHUP)
            assert await trio.to_thread.run_sync(command.end) == 0
            info = await handle.info()
            assert (info.state, info.attempt) == (rediq.State.PENDING, 0)

    trio.run(main)


def test_a_worker_waits_for_redis_and_says_so(
    cli_start: Start, cli_place: Place, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    prefix = f"--key-prefix={cli_place.prefix}"
    command = cli_start("run", "served:app", f"--url=unix://{path}", prefix)

    async def main() -> None:
        said = await command.wait_said("; is Redis running there? Trying again for up to ")
        left = float(said.partition("for up to ")[2].split()[0])
        assert 30 < left <= 60
        path.symlink_to(cli_place.url.removeprefix("unix://"))
        said = await command.wait_said("serves default")
        assert said.count("Trying again") < 8
        assert "Redis was reached after" in said
        command.signal()

    trio.run(main)
    assert command.end() == 0


def test_a_worker_that_waits_for_redis_ends_at_a_signal(cli_start: Start, tmp_path: Path) -> None:
    command = cli_start("run", "served:app", f"--url=unix://{tmp_path}/s")

    async def main() -> None:
        await command.wait_said("Trying again for up to ")
        command.signal()

    trio.run(main)
    assert command.end() == 0


def test_a_worker_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    url = f"--url=unix://{tmp_path}/s"
    for more in ({"REDIQ_CONNECT_PATIENCE": "5"}, {}):
        flags = () if more else ("--connect-patience=0",)
        found = cli_call("run", "served:app", url, *flags, **more)
        assert found.returncode == 1
        assert "cannot connect" in found.stderr
        assert ("Trying again" in found.stderr) == bool(more)


def test_a_wrong_password_is_not_waited_for(cli_place: Place) -> None:
    url = cli_place.url.replace("unix://", "unix://nobody:wrong@")
    found = cli_call("run", "served:app", "--url", url)
    assert found.returncode == 2
    assert "refused the user or password" in found.stderr
    assert "Trying again" not in found.stderr


SETTINGS = attrs.fields(Settings)
CANDIDATES = ("0", "2", "true", "replicated", "::1", "zone=b,rack=4")
"""Values of settings as text. The first that is valid and not the default stands for a setting."""
NEEDED = {"replicas": {"durability": "replicated"}}
"""What another setting must be for a setting to have a value."""


def other_than_default(name: str) -> tuple[str, object]:
    """Return a value that a setting may have beside its default: as text, and as it is read."""
    plain = Settings(**NEEDED.get(name, {}))
    for text in CANDIDATES:
        with suppress(ConfigError):
            settings = Settings(**NEEDED.get(name, {}), **{name: read_setting(name, text)})
            if (value := getattr(settings, name)) != getattr(plain, name):
                return text, value
    raise AssertionError(f"no candidate fits {name}: add one")


def parsed(*flags: str) -> dict[str, Any]:
    """Return the keywords of `serve` for the flags of `rediq run`."""
    parser = argparse.ArgumentParser()
    add_command(partial(parser.add_subparsers().add_parser, "run"))
    return read_options(*given_options(parser.parse_args(["run", "a:app", *flags])))


def documented(page: Path) -> list[str]:
    """Return the flags in the table of the settings."""
    return re.findall(
        r"^\| `\w+` \| `REDIQ_\w+` \| `(--[a-z-]+)` \|", page.read_text(), re.MULTILINE
    )


def test_each_documented_flag_is_one_of_the_command() -> None:
    flags = documented(PAGES / "reference" / "settings.md")
    assert flags == [flag_of(field.name) for field in SETTINGS]
    for field, flag in zip(SETTINGS, flags, strict=True):
        text, value = other_than_default(field.name)
        options = parsed(*([flag] if value is True else [flag, text]))
        assert options.keys() == {field.name}
        assert getattr(Settings(**NEEDED.get(field.name, {}), **options), field.name) == value


def test_each_flag_of_rediq_run_in_the_docs_is_one_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    known = {*re.findall(r"--[a-z-]+", capsys.readouterr().out)}
    assert {flag_of(field.name) for field in SETTINGS} <= known
    for page in PAGES.rglob("*.md"):
        for command in re.findall(r"rediq run [^\n`]*", page.read_text()):
            assert {*re.findall(r"(?<= )--[a-z-]+", command)} <= known, f"{page.name}: {command}"


def test_the_help_says_what_each_setting_is() -> None:
    texts = setting_texts()
    assert texts.keys() == {field.name for field in SETTINGS}
    assert texts["lease"].endswith("0.1 to 3,600. (30.0)")
    assert texts["name"].startswith("The worker's id;")


@pytest.mark.parametrize("way", ["keyword", "variable", "flag"])
@pytest.mark.parametrize("name", [field.name for field in SETTINGS])
async def test_each_setting_reaches_the_worker(
    name: str, way: str, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, value = other_than_default(name)
    options: dict[str, Any] = {"key_prefix": f"run-{uuid.uuid4().hex}"} | NEEDED.get(name, {})
    if way == "keyword":
        options[name] = read_setting(name, text)
    elif way == "variable":
        options.pop(name, None)
        monkeypatch.setenv(f"REDIQ_{name.upper()}", text)
    else:
        options |= parsed(*([flag_of(name)] if value is True else [flag_of(name), text]))
    with trio.fail_after(30):
        async with rediq.serve(rediq.App(), redis_server.url, **options) as server:
            settings = server._worker.settings
            found = settings.queues if name == "queues" else getattr(settings, name)
    assert found == value
