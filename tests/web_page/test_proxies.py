"""The page under a path behind nginx and Caddy, with what docs/web.md tells to write."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trio

import rediq_trio as rediq
from tests.browser.stage import served
from tests.servers import SETTING, Server, require_any_server

WITHIN = 60.0
"""Seconds after which nothing more is waited for."""
DOCS = (Path(__file__).parents[2] / "docs" / "web.md").read_text()
UNDER = "/ops/rediq"
FLAGS = ("--write", "--base-path", UNDER, "--trust-header", "X-User", "--trust-proxy", "127.0.0.1")
WHO = ("ada", "secret")
NGINX = """
user {user}; daemon off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; auth_basic ops; auth_basic_user_file {folder}/users;
{snippet}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
basicauth {{
  ada {hash}
}}
{snippet}
}}
"""


def snippet(language: str) -> str:
    """Return what the docs tell to write."""
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found[1]


def program_of(name: str) -> str:
    """Return a program; without it the test fails where all is to be tested, else is not run."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        missing = f"no {name} is on this machine: apt-get install --no-install-recommends {name}"
        (pytest.fail if os.environ.get(SETTING) == "all" else pytest.skip)(missing)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Generator[str]:
    """Run a proxy for the block; yield its address."""
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
            env={"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"},
        )  # fmt: skip
        try:
            give_up = time.monotonic() + WITHIN
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    said = (folder / "log").read_text()
                    assert child.poll() is None, said
                    assert time.monotonic() < give_up, said
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            child.wait(WITHIN)


@contextmanager
def nginx(page: str, folder: Path, *, takes_path: bool) -> Generator[str]:
    text = snippet("nginx").replace("http://127.0.0.1:8080", page + ("/" if takes_path else ""))
    port = free_port()
    (folder / "users").write_text(f"{WHO[0]}:{{PLAIN}}{WHO[1]}\n")
    folder.chmod(0o755)
    (folder / "conf").write_text(NGINX.format(user=getpass.getuser(), folder=folder, port=port, snippet=text))
    command = [program_of("nginx"), "-e", str(folder / "errors"), "-p", str(folder), "-c", str(folder / "conf")]
    with running(command, port, folder) as address:
        yield address


@contextmanager
def caddy(page: str, folder: Path, *, takes_path: bool) -> Generator[str]:
    program = program_of("caddy")
    text = snippet("caddy").replace("127.0.0.1:8080", page.removeprefix("http://"))
    if takes_path:
        text = text.replace("handle /", "handle_path /")
    port = free_port()
    hashed = subprocess.run(
        [program, "hash-password", "--plaintext", WHO[1]], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / "Caddyfile").write_text(CADDY.format(port=port, hash=hashed, snippet=text))
    command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(command, port, folder) as address:
        yield address


@pytest.mark.parametrize("takes_path", [False, True], ids=["leaves the path", "takes the path"])
@pytest.mark.parametrize("proxy", [nginx, caddy])
def test_the_page_works_under_a_path(
    start_server: Callable[[str], Server],
    tmp_path: Path,
    proxy: Callable[..., Generator[str]],
    takes_path: bool,
) -> None:
    url, prefix = start_server(require_any_server()).url, f"proxy-{proxy.__name__}-{takes_path}"

    async def enqueue() -> list[str]:
        async with rediq.connect(url, key_prefix=prefix) as client:
            await client.enqueue(rediq.Task("x", queue="mail"))
            return [f"{each.who} {each.what}" for each in await client.audit()]

    trio.run(enqueue)
    with (
        served(url, prefix, *FLAGS) as (page, _),
        proxy(page, tmp_path, takes_path=takes_path) as address,
        httpx.Client(base_url=address, auth=WHO, timeout=WITHIN) as browser,
    ):
        for path in (UNDER, f"{UNDER}/", f"{UNDER}/queues", f"{UNDER}/queues/"):
            answer = browser.get(path, follow_redirects=True)
            assert answer.status_code == 200, (path, answer.text)
            assert answer.url.netloc.decode() == address.removeprefix("http://")
            links = re.findall(r'(?:href|action|src)="([^"]*)"', answer.text)
            assert links
            assert [link for link in links if link[:1] == "/" and not link.startswith(UNDER)] == []
            assert ">ada<" in answer.text
        style = re.search(r'href="([^"]+look\.css[^"]*)"', answer.text)
        assert style is not None
        assert browser.get(style[1]).status_code == 200
        with browser.stream("GET", f"{UNDER}/live") as stream:
            assert any(line.startswith("data:") for line in stream.iter_lines())
        # Over plain HTTP a form of the page is known by its Origin.
        pause = f"{UNDER}/queues/mail/pause"
        assert browser.post(pause, headers={"Origin": "http://elsewhere"}).status_code == 403
        done = browser.post(pause, headers={"Origin": address})
        assert done.status_code == 303
        assert done.headers["location"] == f"{UNDER}/queues/mail"
    assert [line for line in trio.run(enqueue) if line.startswith("ada ")]
