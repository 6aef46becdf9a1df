from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.store.embedded import open_embedded

pytestmark = pytest.mark.uncounted

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

OUTPUTS = {
    "hello": r"sent to a@example\.com\n",
    "retries": r"""flaky: completed after 3 attempts: third time lucky
busy: completed after 2 attempts: after the time it asked for
malformed: dead after 1 attempts: the order has no customer
early: completed after 1 attempts: the shop is open now
slow: dead after 2 attempts: timeout: it took longer than 0\.05 s
""",
    "progress_and_cancel": r"""(watcher: frame \d+, \d+\.\d %
)+cancel\(\) found it active
handler: cleaning up, reason: cancelled
result\(\) raised TaskCancelled
""",
    "delayed": r"""2 scheduled, 3 pending
reminder: the fire
reminder: the plants
reminder: the tea
reminder: the train
no reminder: expired
""",
    "lifespan": r"""250
tea for 250 cents
bread for 320 cents
prices: no longer refreshed
shop: 570 cents were sold
""",
    "bulk": r"""5,000 tasks enqueued
0 of 10 enqueued again
5,000 tasks completed
the last result is 24,990,001
[\d,]+ tasks per second
""",
    "middleware": r"""charge attempt 1: OSError, 0\.\d s
charge attempt 2: ok, 0\.\d s
charged 1250 cents under trace of the producer
""",
    "sync_handlers": r"""digest: [0-9a-f]{16}
patient: timeout: it took longer than 0\.2 s
""",
    "testing_with_memory": r"""test_a_task_names_its_arguments: passed
test_a_full_mailbox_is_tried_again_for_a_quarter_of_an_hour: passed
""",
    "worker_app": "4 HELLO!\n",
    "blocking_client": """100 orders wait
90 orders are left
no task orders/unknown
""",
    "asyncio_client": """100 orders wait
the first one has no result yet
90 orders are left
""",
    "quart_page": r"""packed: 2 x tea, attempt 1
packed: 4 x glass, attempt 2
packed: 1 x bread, attempt 1
the page lists the queue: True
""",
    "thumbnails": r"""(sun, the widest: \d+ %, row \d+ of 160
)*sun: sun\.160\.png, sun\.40\.png, sun\.80\.png
pond: pond\.160\.png, pond\.40\.png, pond\.80\.png
6 files, [\d,]+ bytes
""",
    "nightly_report": r"""(added a batch of \d+
){3,}nightly, cron "55 23 \* \* \*" UTC: next at 23:55 UTC
made once before its time: completed
harbor: 40 sales, 645\.00
north: 40 sales, 625\.00
south: 40 sales, 635\.00
""",
    "crawler": r"""(host [12], 127\.0\.0\.1:\d+: 12 pages, at most ([1-9]|10) in a second
){2}""",
    "order_workflow": r"""reserved tea in south, attempt 1
reserved bread in north, attempt 2
the order stands still: ConnectionError: harbor does not answer
reserve glass failed first; 2 completed, 3 dead
reserved glass in harbor, attempt 1
sent a parcel of 3 items
Ada owes 15\.60
5 completed
""",
}


def environment(**more: str) -> dict[str, str]:
    """Give an environment without settings of the library, and with the library under test."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("REDIQ_")}
    return clean | {"PYTHONPATH": str(Path(rediq.__file__).parents[1])} | more


def run(program: Path, **more: str) -> str:
    """Run a program that must succeed and complain of nothing; give what it printed."""
    # Some handlers fail on purpose, and the log says so on standard error.
    silenced = "import logging, runpy, sys; logging.disable(); runpy.run_path(sys.argv[1], None, '__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", silenced, program],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_every_example_is_tested() -> None:
    assert sorted(OUTPUTS) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.usefixtures("embedded_server")
def test_an_example_prints_what_it_should(name: str) -> None:
    said = run(EXAMPLES / f"{name}.py")
    assert re.fullmatch(OUTPUTS[name], said), said


@pytest.mark.parametrize("name", sorted(OUTPUTS.keys() - {"bulk", "worker_app"}))
def test_an_example_prints_the_same_in_memory(name: str) -> None:
    said = run(EXAMPLES / f"{name}.py", REDIQ_URL="memory://")
    assert re.fullmatch(OUTPUTS[name], said), said


@pytest.mark.usefixtures("embedded_server")
def test_a_worker_app_serves_a_producer_in_another_process() -> None:
    async def main() -> None:
        async with open_embedded() as url:
            command = ["-m", "rediq_trio", "run", "worker_app:app", "--queues=urgent,default"]
            worker = subprocess.Popen(  # noqa: ASYNC220 starting it is quick
                [sys.executable, *command],
                cwd=EXAMPLES,
                env=environment(REDIQ_URL=url),
                stderr=subprocess.DEVNULL,
            )
            try:
                said = await trio.to_thread.run_sync(
                    lambda: run(EXAMPLES / "worker_app.py", REDIQ_URL=url)
                )
                assert re.fullmatch(OUTPUTS["worker_app"], said), said
            finally:
                worker.terminate()
                assert await trio.to_thread.run_sync(worker.wait, 30) == 0

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_the_program_of_the_readme_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    server = "redis://127.0.0.1:6379"
    assert program.count(server) == 1
    path = tmp_path / "program.py"
    path.write_text(program.replace(server, "embedded://"), "utf-8")
    assert run(path) == "sent to a@example.com\n"


def test_the_links_of_the_readme_hold_outside_of_the_repository() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == [], "write [text][path]"
    addresses = dict(re.findall(r"^\[(.+)\]: (\S+)$", text, re.MULTILINE))
    paths = re.findall(r"\]\[(.+?)\]", text)
    assert {*paths} == addresses.keys()
    for path, address in addresses.items():
        file = ROOT / path.partition("#")[0]
        assert file.exists(), path
        view = address.removeprefix(project["urls"]["Repository"]).removesuffix(f"/main/{path}")
        shown = "/tree" if file.is_dir() else "/raw" if file.suffix in (".svg", ".webp") else "/blob"
        assert view == shown, address
