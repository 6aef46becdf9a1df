from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from rediq_trio.cli.main import main
from tests.cli.conftest import HERE, cli_call


def test_the_version_is_that_of_the_distribution() -> None:
    found = cli_call("--version")
    assert (found.returncode, found.stdout) == (0, f"rediq-trio {version('rediq-trio')}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: command; see 'rediq --help'"),
        (("frobnicate",), "invalid choice: 'frobnicate'"),
        (("run",), "see 'rediq run --help'"),
        (("run", "served:app", "--url", "foo://x"), "url='foo://x'"),
        (("run", "served:app", "--url", "embedded://x", "--processes=2"), "embedded:///path"),
        (("run", "served:app", "--concurrency", "many"), "concurrency='many'"),
        (("run", "served:app", "--concurrency", "0"), "concurrency=0"),
        (("run", "served:app", "--queues", "a,b c"), "queues='b c'"),
        (("run", "served:app", "--lease", "1", "--heartbeat", "0.9"), "half the lease"),
        (("run", "served:app", "--processes", "0"), "processes='0'"),
        (("run", "served:app", "--processes", "2", "--url=memory://"), "memory://"),
        (("run", "served:app", "--log-level", "loud"), "invalid choice: 'loud'"),
        (("run", "served"), "module:attribute"),
        (("run", "nowhere:app"), "there is no module 'nowhere'"),
        (("run", "served:nothing"), "served:app"),
        (("run", "served:no_app"), "of type str, no App; it has served:app"),
        (("demo", "/no/such/folder"), "a folder that exists"),
        (("demo", "served.py"), "FOLDER='served.py': must be a folder"),
        (("demo", "--concurrency", "-1"), "concurrency=-1"),
        (("demo", "--url", "x"), "url='x'"),
    ],
)
def test_bad_use_is_one_line_and_status_2(
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    try:
        status: object = main(arguments)
    except SystemExit as ended:  # argparse's way
        status = ended.code
    output, errors = capsys.readouterr()
    assert (status, output) == (2, "")
    assert said in errors
    assert errors.startswith("rediq")
    assert errors.count("\n") == 1


def test_bad_use_of_the_real_command_is_told_without_a_traceback() -> None:
    found = cli_call("run", "nowhere:app")
    assert found.returncode == 2
    assert found.stderr.startswith("rediq: app: there is no module 'nowhere'")
    assert found.stderr.count("\n") == 1


def test_a_bad_environment_variable_is_named() -> None:
    found = cli_call("run", "served:app", REDIQ_LEASE="long")
    assert found.returncode == 2
    assert "lease='long'" in found.stderr


def test_a_server_that_is_not_there_is_one_line_and_status_1() -> None:
    url = "unix://user:secret@/no/such/socket"
    found = cli_call("run", "served:app", "--url", url)
    assert found.returncode == 1
    assert "cannot connect" in found.stderr
    assert "--url or REDIQ_URL" in found.stderr
    assert "Traceback" not in found.stderr
    assert "secret" not in found.stderr
