"""`rediq web` and `rediq demo --web`, as processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.cli.conftest import cli_environment
from tests.servers import require_any_server, running_server

WITHIN = 90.0
"""Seconds after which nothing more is waited for."""


def run(*arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rediq_trio", *arguments],
        input=typed, env=cli_environment(**variables), capture_output=True, text=True,
        timeout=WITHIN, check=False,
    )  # fmt: skip


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a command that serves, until the block ends; yield the URL that it says."""
    child = subprocess.Popen(
        [sys.executable, "-m", "rediq_trio", *arguments, "--port", "0"],
        env=cli_environment(**variables), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stderr is not None
        said: list[str] = []
        while not (found := re.search(r"http://\S+/", said[-1] if said else "")):
            said.append(child.stderr.readline())
            assert said[-1], said
        yield found[0], child
    finally:
        child.terminate()
        child.communicate(timeout=WITHIN)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_server(require_any_server()) as server:
        yield server.url


def test_it_serves_and_ends_in_good_order(url: str) -> None:
    with serving("web", "--url", url, "--name", "staging") as (page, child):
        answer = httpx.get(f"{page}help", timeout=WITHIN)
        assert "<title>Help · staging · rediq</title>" in answer.text
        child.send_signal(signal.SIGTERM)
        assert child.wait(WITHIN) == 0


def test_a_line_for_the_file_of_logins_lets_its_user_in(url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = run("web", "--add-user", "ada", "--role", "act", typed="correct horse\n")
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"ada:scrypt\$\S+:act\n", made.stdout)
    logins = tmp_path / "logins"
    logins.write_text(made.stdout)
    with serving("web", "--url", url, "--login", str(logins)) as (page, _), httpx.Client(
        base_url=page, timeout=WITHIN, headers={"Sec-Fetch-Site": "same-origin"}
    ) as browser:
        assert browser.get("help").status_code == 303
        form = {"user": "ada", "password": "correct horse"}
        assert browser.post("login", data=form).status_code == 303
        assert "look, retry" in browser.get("account").text


def test_an_address_that_others_reach_needs_a_login(url: str) -> None:
    refused = run("web", "--url", url, "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "--login FILE" in refused.stderr
    short = run("web", "--url", url, "--host", "0.0.0.0", "--port", "0", REDIQ_WEB_TOKEN="short")
    assert "16 or more" in short.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--url", "memory://"), "that of a server"),
        (("--port", "x"), "0 to 65535"),
        (("--host", "nowhere.invalid"), "address of this machine"),
        (("--hide", "secrets"), "payload.card"),
        (("--add-user", "a:b"), "user"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], why: str) -> None:
    failed = run("web", *arguments, typed="correct horse\n")
    assert failed.returncode in (1, 2)
    assert why in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_page_whose_redis_is_not_there_says_so_and_waits_for_it() -> None:
    with serving("web", "--url", "redis://127.0.0.1:1") as (page, child):
        answer = httpx.get(page, timeout=WITHIN)
        assert answer.status_code == 503
        assert "127.0.0.1:1" in answer.text
        child.send_signal(signal.SIGINT)
        assert child.wait(WITHIN) == 0


def test_the_demo_serves_a_story_with_the_right_to_change() -> None:
    require_any_server()
    with serving("demo", "--web") as (page, _):
        answer = httpx.get(f"{page}account", timeout=WITHIN)
        assert "do everything" in answer.text
