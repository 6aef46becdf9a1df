"""A program of one file: it enqueues when it runs as a script, and a worker imports it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import WITHIN, Place, cli_environment

pytestmark = pytest.mark.uncounted

PROGRAM = """
import os, sys
import trio
import rediq_trio as rediq

app = rediq.App()

@app.task
async def hello(name: str) -> str:
    return f"hello {name}"

async def main() -> None:
    async with rediq.connect(os.environ["URL"], key_prefix=os.environ["PREFIX"]) as client:
        handle = await client.enqueue(hello.task("Ada"))
        print(hello.name, app.name, await handle.result(timeout=60))

if __name__ == "__main__":
    trio.run(main)
"""


@pytest.mark.parametrize(
    ("file", "started", "target"),
    [
        ("mail.py", ["mail.py"], "mail:app"),
        ("mail.py", ["-m", "mail"], "mail:app"),
        ("pack/mail.py", ["pack/mail.py"], "pack.mail:app"),
        ("pack/mail.py", ["-m", "pack.mail"], "pack.mail:app"),
        ("pack/__main__.py", ["-m", "pack"], "pack.__main__:app"),
    ],
)
def test_a_script_enqueues_and_a_worker_runs_its_handler(
    file: str, started: list[str], target: str, tmp_path: Path, cli_place: Place
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    if path.parent != tmp_path:
        (path.parent / "__init__.py").touch()
    path.write_text(PROGRAM, "utf-8")
    environment = cli_environment(URL=cli_place.url, PREFIX=cli_place.prefix)
    worker = subprocess.Popen(
        [sys.executable, "-m", "rediq_trio", "run", target, *cli_place.flags],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ended = subprocess.run(
            [sys.executable, *started],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=WITHIN * 2,
            check=False,
        )
    finally:
        worker.terminate()
        assert worker.wait(WITHIN) == 0
    module = target.partition(":")[0]
    app_name = module.removesuffix(".__main__")
    assert (ended.stdout, ended.stderr) == (f"{module}:hello {app_name} hello Ada\n", "")
    shutil.rmtree(tmp_path)
