"""One stage, and one browser, for all tests of a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.browser.stage import (
    NewContext,
    Stage,
    find_chromium,
    open_stage,
    opened_browser,
    opened_context,
    served,
)  # fmt: skip
from tests.servers import Server, require_any_server


@pytest.fixture(scope="package")
def browser() -> Generator[Browser]:
    """Start a browser. While it runs, its thread has a running event loop, which other tests must not have."""
    with opened_browser() as found:
        yield found


@pytest.fixture
def new_context(browser: Browser) -> Generator[NewContext]:
    """Open contexts of the browser, each closed after the test."""
    with ExitStack() as stack:

        def opened(**options: Any) -> BrowserContext:
            return stack.enter_context(opened_context(browser, **options))

        yield opened


@pytest.fixture(scope="session")
def stage(start_server: Callable[[str], Server]) -> Generator[Stage]:
    """Fill a fleet, and serve its page."""
    find_chromium()
    url = start_server(require_any_server()).url
    with open_stage(url, f"browser-{os.getpid()}") as found:
        yield found


@pytest.fixture(scope="session")
def empty_site(start_server: Callable[[str], Server]) -> Generator[str]:
    """Serve the page of a server on which nothing was ever enqueued."""
    url = start_server(require_any_server()).url
    with served(url, f"empty-{os.getpid()}", "--write") as (site, _):
        yield site
