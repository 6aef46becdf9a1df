"""The command: see the docstring of the package."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import tests.pythons
from tests.pythons.place import Place, debian, this_machine
from tests.pythons.project import (
    EXTRAS,
    build_requirements,
    lowest_versions,
    supported_pythons,
    test_tools,
)

PART = (
    "tests/conformance", "tests/store", "tests/worker/test_crash.py", "tests/worker/test_retries.py",
    "tests/worker/test_stop.py", "tests/worker/test_workflows.py", "tests/worker/test_once.py",
    "tests/redis/test_event_loop.py", "tests/redis/test_connection.py", "tests/redis/test_gateway.py",
    "tests/redis/test_pipeline.py", "tests/redis/test_subscriber.py", "tests/actors/test_attempt.py",
    "tests/actors/test_executor.py", "tests/actors/test_threads.py", "tests/handlers", "tests/wire",
    "tests/web/test_health_server.py", "tests/security/test_encryption.py", "tests/test_client.py",
    "tests/sentry", "tests/test_serve.py", "tests/test_package.py", "tests/cli/test_main.py",
    "tests/clients/test_asyncio_client.py", "tests/clients/test_sync_client.py",
    "tests/clients/test_same_answers.py", "tests/clients/test_shared_memory.py",
    "tests/clients/test_surface.py", "tests/clients/test_closed.py",
    "tests/worker/test_lifespans.py", "tests/actors/test_structure.py",
    "tests/faults/test_forks.py",
    "tests/cli/test_run.py::test_full_garbage_collections_are_rare_unless_the_app_has_a_wish",
)  # fmt: skip
"""What runs: both stores, the worker, the connection, the clients, each extra, the command line, the
package."""
TESTS_DEADLINE = 900.0
"""Seconds that the tests of one Python may take on a busy machine."""
PIP = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore")


class NotInstalled(Exception):
    """Raised when a command that installs something failed, and has said why."""


def install(place: Place, python: str, folder: Path, *, lowest: bool) -> Path:
    """Make a virtual environment with the library and what its tests need; return its Python."""

    def run(*command: object) -> None:
        if place.run(*command):
            raise NotInstalled(f"{command[0]} {' '.join(map(str, command[1:4]))} failed")

    run(python, "-m", "venv", folder)
    made = folder / "bin" / "python"
    bounds: list[object] = []
    if lowest:
        listed = folder / "lowest.txt"
        listed.write_text("\n".join(lowest_versions()), "utf-8")
        bounds = ["-c", listed]
    run(made, *PIP, *build_requirements(), *bounds)
    library = f".[{','.join(EXTRAS)}]"
    run(made, *PIP, "--no-build-isolation", library, *test_tools(), *bounds)
    return made


def processor_time() -> float:
    """Return the seconds that the processes that have ended took of a processor."""
    times = os.times()
    return times.children_user + times.children_system


def run_part(
    place: Place, python: str, name: str, chosen: Sequence[str], *, lowest: bool = False
) -> bool:
    """Run tests on a Python; return whether they passed."""
    began, spent = time.monotonic(), processor_time()
    folder = Path(place.read("mktemp", "-d", "-t", "rediq-pythons-XXXXXX"))
    try:
        made = install(place, python, folder, lowest=lowest)
        installed, spent_then = time.monotonic(), processor_time()
        options = ("-q", "-n", "0", "-p", "no:cacheprovider")
        status = place.run(made, "-m", "pytest", *chosen, *options, timeout=TESTS_DEADLINE)
    except (NotInstalled, subprocess.TimeoutExpired) as error:
        print(f"{name}: {error}", flush=True)
        return False
    finally:
        place.run("rm", "-rf", folder)
    print(
        f"{name}: {'FAILED' if status else 'passed'} on {place.server}; "
        f"installing took {installed - began:.0f} s ({spent_then - spent:.0f} s of a processor), "
        f"testing {time.monotonic() - installed:.0f} s ({processor_time() - spent_then:.0f} s)",
        flush=True,
    )
    return status == 0


def run_others(place: Place, versions: Sequence[str], chosen: Sequence[str]) -> bool:
    """Run tests on each version that is there, and name those that are not; return whether all passed."""
    passed = True
    for version in versions:
        found = place.find_pythons(version)
        if not found:
            print(f"Python {version}: not here, looked on PATH and in pyenv", flush=True)
        for name, program in found.items():
            passed = run_part(place, program, f"Python {name}, {program}", chosen) and passed
    return passed


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.pythons",
        description=tests.pythons.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lowest", action="store_true", help="the lowest versions of dependencies")
    parser.add_argument(
        "--debian", metavar="FOLDER", type=Path, help="install Debian there, use its Pythons"
    )
    parser.add_argument("--suite", default="unstable", help="of Debian (unstable)")
    parser.add_argument(
        "--versions", metavar="3.13,3.14", help="of Python (those declared, but this one)"
    )
    parser.add_argument("tests", nargs="*", default=PART, help="what to run (a part of the suite)")
    given = parser.parse_args()
    if given.lowest:
        return not run_part(
            this_machine(), sys.executable, "lowest versions", given.tests, lowest=True
        )
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    versions = [version for version in supported_pythons() if version != here]
    if given.versions:
        versions = given.versions.split(",")
    where = debian(given.debian, given.suite) if given.debian else nullcontext(this_machine())
    with where as place:
        return not run_others(place, versions, given.tests)


if __name__ == "__main__":
    sys.exit(main())
