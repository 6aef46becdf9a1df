"""The page about the web page: its program runs, and its tables are of what there is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import httpx
import pytest

from docs.programs import program
from rediq_trio.cli.main import make_parser

PAGE = Path("docs/web.md").read_text("utf-8")
EXAMPLE = "docs/examples/web_page/mounted_page.py"


def test_the_page_shows_the_program() -> None:
    assert program(EXAMPLE) in PAGE


async def test_the_program_lets_in_whom_its_function_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_URL", "memory://")
    monkeypatch.setenv("OPS_KEY", "a key")
    spec = importlib.util.spec_from_file_location("mounted_page", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mounted_page", module)
    spec.loader.exec_module(module)
    transport = httpx.ASGITransport(module.app)
    async with (
        module.lifespan(module.app),
        httpx.AsyncClient(transport=transport, base_url="http://ops.example.com") as browser,
    ):
        assert (await browser.get("/ops/help")).status_code == 403
        answer = await browser.get("/ops/account", headers={"x-key": "a key"})
        assert "look, retry" in answer.text


def test_the_flags_of_the_page_are_flags_of_the_command() -> None:
    for line in PAGE.splitlines():
        if line.startswith("rediq web "):
            arguments = line.split()[1:]
            assert make_parser().parse_args(arguments)
