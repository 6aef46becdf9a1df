"""What the tests of the page stand on: a server with a fleet, `rediq web`, and a browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.web.site.all_pages import ACTS, PAGES
from tests.browser.fleet import fill
from tests.servers import SETTING

ROOT = Path(__file__).parents[2]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
WITHIN = 60.0
"""Seconds that anything awaited may take on a busy machine."""
STATES = ("pending", "active", "retry", "completed", "dead", "cancelled", "scheduled")
WIDTHS = (1440, 768, 360)
THEMES = ("light", "dark")
PATTERNS = [page.path for page in PAGES] + [act.path for act in ACTS if act.ask]
"""The paths of all pages, and of all questions."""
NOT_LOOKED_AT = {
    "/queues/{queue}/{state}/export",
    "/tasks/{task:path}/download/{field}",
    "/bulk/{work}",
}
"""Files, and what is there while work is under way."""
NewContext = Callable[..., BrowserContext]
"""Opens a context with the options of `Browser.new_context`."""
NOT_THERE = "no chromium is on this machine: apt-get install --no-install-recommends chromium"


def find_chromium() -> str:
    """Return the browser; without one the test fails where all is to be tested, else is not run."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    if os.environ.get(SETTING) == "all":
        pytest.fail(NOT_THERE)
    pytest.skip(NOT_THERE)


@contextmanager
def opened_browser() -> Generator[Browser]:
    """Start a browser for the block."""
    program = find_chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def process(*arguments: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """Run a Python module for the block, with variables of its environment; it is ended after it."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("REDIQ_")}
    paths = os.pathsep.join((str(Path(rediq.__file__).parents[1]), str(ROOT)))
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=clean | {"PYTHONPATH": paths} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if arguments[:2] == ("rediq_trio", "web") else errors,
            text=True,
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(WITHIN)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stderr is not None:
                child.stderr.close()


@contextmanager
def served(
    url: str, prefix: str, *flags: str, **variables: str
) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Run `rediq web` on a free port; yield its address and its process."""
    given = ("--url", url, "--key-prefix", prefix, "--port", "0", "--name", "production", *flags)
    with process("rediq_trio", "web", *given, **variables) as child:
        assert child.stderr is not None
        line = child.stderr.readline()
        found = re.search(r"http://[^\s/]+", line)
        assert found is not None, line + child.stderr.read()
        yield found[0], child


@attrs.frozen
class Stage:
    """A fleet, and the page that shows it."""

    url: str
    prefix: str
    site: str
    """Where the page is, "http://127.0.0.1:41234" for example."""
    samples: dict[str, str]
    """Ids of what there is, by what it is."""

    def paths(self) -> list[str]:
        """Return an address for each page and each question, made of the table of all."""
        found = ["/find?q=ValueError"]
        for path in PATTERNS:
            found += self.filled(path)
        return list(dict.fromkeys(found))

    def filled(self, path: str) -> list[str]:
        """Return addresses that a pattern matches, for what there is in the fleet."""
        if path in NOT_LOOKED_AT:
            return []
        if path.startswith("/queues/{queue}/{state}") and path != "/queues/{queue}/{state}":
            path = path.replace("{queue}", "emails").replace("{state}", "dead") + "?all=match"
        paths = [path]
        if "{state}" in path:
            paths = [path.replace("{state}", state) for state in STATES]
        for name, value in self.samples.items():
            area, _, field = name.partition(":")
            paths = [
                re.sub(rf"\{{{field}(:\w+)?\}}", value, each) if each.startswith(area) else each
                for each in paths
            ]
        return [each for each in paths if "{" not in each]


async def _prepared(url: str, prefix: str) -> dict[str, str]:
    async with rediq.connect(url, key_prefix=prefix) as client:
        await fill(client)
        found: dict[str, str] = {}
        with trio.fail_after(WITHIN):
            while len(found) < 3:
                await trio.sleep(0.05)
                for state, name in ((State.DEAD, "dead"), (State.RETRY, "retry")):
                    tasks = await client.queue("emails").tasks(state, newest=True)
                    if tasks:
                        found[name] = tasks[0].id
                if running := await client.queue("images").tasks(State.ACTIVE):
                    found["active"] = running[0].id
            while (await client.queue("emails").stats()).pending:
                await trio.sleep(0.05)
        flows = await client.workflows()
        kinds = await client.queue("emails").failures()
        deadly = next(kind.kind for kind in kinds if kind.type == "bad")
        return {
            "/tasks:task": found["dead"],
            "/workflows:id": flows[-1].id,
            "/workers:worker": (await client.workers())[0].id,
            "/schedules:name": "broken",
            "/failures:kind": deadly,
            "/:queue": "emails",
            "active": found["active"],
            "retry": found["retry"],
            "waiting": flows[0].id,
        }


@contextmanager
def open_stage(url: str, prefix: str) -> Generator[Stage]:
    """Fill a fleet, run its worker and its page."""
    with process("tests.browser.fleet", url, prefix):
        samples = trio.run(_prepared, url, prefix)
        with served(url, prefix, "--write") as (site, _):
            yield Stage(url, prefix, site, samples)


@contextmanager
def opened_context(browser: Browser, **options: Any) -> Generator[BrowserContext]:
    """Open a context of a browser for the block.

    What its tabs are on their way to is given up first: a context that is closed while a page is under
    way is, about once in forty times, never closed, and no time limit ends the wait.
    """
    context = browser.new_context(**options)
    try:
        yield context
    finally:
        for page in context.pages:
            _leave(page)
        context.close()


def _leave(page: Page) -> None:
    while page.url != "about:blank":
        try:
            page.goto("about:blank")
        except Error as error:  # it came before: the page that was under way
            if "interrupted by another navigation" not in error.message:
                raise


@attrs.frozen
class Watched:
    """A page whose console and whose reports are watched."""

    page: Page
    heard: list[str]

    def go(self, address: str) -> None:
        """Open an address; note it as heard if it is not there. A refusal is a page, too."""
        answer = self.page.goto(address)
        assert answer is not None
        if answer.status >= 400 and answer.status not in REFUSALS:
            said = " ".join(self.page.inner_text("main").split())[:300]
            self.heard.append(f"{address}: {answer.status}: {said}")


REFUSALS = (400, 409)
"""Statuses of pages that say why something is not done."""
REPORTS = (
    "document.addEventListener('securitypolicyviolation', event =>"
    " console.error('CSP ' + event.violatedDirective + ' ' + event.blockedURI))"
)


def watch(context: BrowserContext) -> Watched:
    """Open a tab; what its console says, and what its policy refuses, is kept."""
    page = context.new_page()
    heard: list[str] = []
    page.add_init_script(REPORTS)
    page.on("console", lambda said: _hear(heard, page, f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: heard.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: heard.append(f"{page.url}: dialog {dialog.message}"))
    return Watched(page, heard)


def _hear(heard: list[str], page: Page, said: str) -> None:
    # The browser tells of the status of a page that says why nothing is done.
    if not any(f"the server responded with a status of {status}" in said for status in REFUSALS):
        heard.append(f"{page.url}: {said}")
