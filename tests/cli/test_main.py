from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

import rediq_trio as rediq
from rediq_trio.cli import demo
from rediq_trio.cli.main import main
from tests.cli.conftest import HERE, cli_call


def test_the_version_is_that_of_the_distribution() -> None:
    found = cli_call("--version")
    assert (found.returncode, found.stdout) == (0, f"rediq-trio {version('rediq-trio')}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lease=5", "run", "served:app"), "unrecognized arguments: --lease=5"),
        (("--url", "foo://x", "run", "served:app"), "url='foo://x'"),
        (("--yes", "queue", "list"), "unrecognized arguments: --yes"),
        (("--json", "--timeout", "soon", "queue", "list"), "argument --timeout: 'soon': must be"),
        (("frobnicate",), "invalid choice: 'frobnicate' (choose from "),
        (("wbe",), "invalid choice: 'wbe'; did you mean web?; see 'rediq --help'"),
        (("task", "lsit"), "invalid choice: 'lsit'; did you mean list?; see 'rediq task --help'"),
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
        (("run", "served.py:app"), "there is no module 'served.py': write served:app"),
        (("run", "pk/tasks.py:app"), "a module, not a file: write pk.tasks:app"),
        (("run", "./tasks.py"), "a module, not a file: write tasks:app"),
        (("run", "/srv/shop/tasks.py:main"), "write tasks:main in the folder that has it"),
        (("run", "served:app", "--concurency", "5"), "did you mean --concurrency?; see 'rediq run"),
        (("run", "served:app", "--shutdown=5", "-x"), "unrecognized arguments: -x; see 'rediq run"),
        (("check", "--kee-prefix=x"), "did you mean --key-prefix?; see 'rediq check"),
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (rediq.ConnectionLost("it went away"), "it went away. Start it, or name another"),
        (rediq.WorkerCrashed("KeyError: 1"), "KeyError: 1. This is a bug"),
        (ExceptionGroup("of a nursery", [rediq.ConnectionLost("gone")]), "gone. Start it"),
    ],
)
def test_what_goes_wrong_later_is_one_line_and_status_1(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(arguments: object) -> int:
        raise error

    monkeypatch.setattr(demo, "execute", execute)
    assert main(["demo"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"rediq: {said}")
    assert errors.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(arguments: object) -> int:
        raise ExceptionGroup("of a nursery", [KeyError(1)])

    monkeypatch.setattr(demo, "execute", execute)
    with pytest.raises(ExceptionGroup):
        main(["demo"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 1),
        (ExceptionGroup("of a nursery", [BrokenPipeError()]), 1),
    ],
)
def test_an_interruption_is_no_error_message(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def execute(arguments: object) -> int:
        raise error

    monkeypatch.setattr(demo, "execute", execute)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # which a broken pipe takes away
    assert main(["demo"]) == status
    assert capsys.readouterr().err == ""


def test_a_misspelt_environment_variable_is_told() -> None:
    found = cli_call(
        "run", "served:app", "--burst", "--url=memory://", REDIQ_CONCURENCY="5", REDIQ_PORT="6379"
    )
    assert found.returncode == 0
    told = [line for line in found.stderr.splitlines() if "is not read" in line]
    assert len(told) == 1
    assert told[0].endswith(
        "the environment variable REDIQ_CONCURENCY is not read; did you mean REDIQ_CONCURRENCY?"
    )


def test_a_bad_environment_variable_is_named() -> None:
    found = cli_call("run", "served:app", REDIQ_LEASE="long")
    assert found.returncode == 2
    assert "lease='long'" in found.stderr


def test_a_server_that_is_not_there_is_one_line_and_status_1() -> None:
    url = "unix://user:secret@/no/such/socket"
    found = cli_call("run", "served:app", "--url", url, "--connect-patience=0")
    assert found.returncode == 1
    assert "cannot connect" in found.stderr
    assert "--url or REDIQ_URL" in found.stderr
    assert "Traceback" not in found.stderr
    assert "secret" not in found.stderr
