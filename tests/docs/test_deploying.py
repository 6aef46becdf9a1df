"""The unit, the Dockerfile and the compose file of the page *Deploy* do what the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import yaml

import rediq_trio as rediq
from rediq_trio.cli.main import make_parser
from rediq_trio.cli.process.service_manager import ServiceManager
from rediq_trio.settings import Settings
from tests.cli.conftest import WITHIN, cli_call, cli_environment, eventually
from tests.servers import require_any_server, running_server
from tests.test_package import PROJECT

pytestmark = pytest.mark.uncounted

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
INSTRUCTIONS = {
    "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "CMD"
}  # fmt: skip
VARIABLES = {f"REDIQ_{field.name.upper()}" for field in attrs.fields(Settings)} | {"REDIQ_URL"}


def graces() -> float:
    """Return how long a worker with the default settings may take to stop."""
    settings = Settings()
    return settings.shutdown_grace + settings.cleanup_grace


def seconds(text: str) -> float:
    """Return a duration of a compose file in seconds."""
    (number,) = re.fullmatch(r"(\d+)s", text).groups()  # type: ignore[union-attr]
    return float(number)


# --- systemd


@pytest.fixture
def unit() -> ConfigParser:
    parser = ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "rediq-worker.service", "utf-8")
    return parser


def test_the_unit_starts_in_the_folder_of_the_app_and_starts_again(unit: ConfigParser) -> None:
    service = unit["Service"]
    assert Path(service["WorkingDirectory"]).is_absolute()
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).is_relative_to(service["WorkingDirectory"])
    assert make_parser().parse_args(arguments).app == "worker_app:app"
    variable, _, _ = service["Environment"].partition("=")
    assert variable in VARIABLES
    assert (service["Restart"], service["KillMode"]) == ("always", "mixed")
    assert float(service["RestartSec"]) >= 1
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_unit_waits_for_longer_than_a_worker_takes_to_stop(unit: ConfigParser) -> None:
    assert float(unit["Service"]["TimeoutStopSec"]) > graces()


def test_systemd_watches_the_worker_for_longer_than_a_report_takes(unit: ConfigParser) -> None:
    assert unit["Service"]["Type"] == "notify"
    assert "NotifyAccess" not in unit["Service"]  # the parent reports, which is the default
    variables = {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": unit["Service"]["WatchdogSec"] + "000000"}
    manager = ServiceManager.of(variables)
    assert manager.watchdog is not None
    assert manager.interval * 3 <= manager.watchdog


def test_the_unit_does_not_repeat_a_start_that_cannot_succeed(unit: ConfigParser) -> None:
    status = int(unit["Service"]["RestartPreventExitStatus"])
    assert cli_call("run", "no_such_module:app").returncode == status
    assert cli_call("run", "served:app", "--lease=-1").returncode == status
    away = cli_call("run", "served:app", "--url=redis://127.0.0.1:1", "--connect-patience=0")
    assert away.returncode not in (0, status)


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    program = tmp_path / "venv" / "bin" / "rediq"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    copy = tmp_path / "rediq-worker.service"
    text = (DEPLOY / "rediq-worker.service").read_text("utf-8")
    copy.write_text(text.replace("/opt/shop", str(tmp_path)), "utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


# --- Compose


@pytest.fixture
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return document


def test_the_compose_file_is_one(compose: dict[str, Any]) -> None:
    assert compose.keys() == {"services", "volumes"}
    known = {"image", "build", "command", "environment", "depends_on", "deploy", "healthcheck"}
    known |= {"ports", "restart", "stop_grace_period", "volumes"}
    for service in compose["services"].values():
        assert service.keys() <= known
        assert ("image" in service) != ("build" in service)
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]
        for name, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in compose["services"][name]


def test_the_redis_of_the_compose_file_loses_no_task(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    command = shlex.join(redis["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert redis["volumes"] == ["tasks:/data"]  # where the image of Redis keeps its files
    # Without a password, it listens to this machine only.
    assert all(port.startswith("127.0.0.1:") for port in redis["ports"])


def test_the_worker_of_the_compose_file_is_built_here_and_may_finish(
    compose: dict[str, Any],
) -> None:
    worker = compose["services"]["worker"]
    context = (DEPLOY / worker["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / worker["build"]["dockerfile"]) == DEPLOY / "Dockerfile"
    assert worker["environment"].keys() <= VARIABLES
    assert worker["environment"]["REDIQ_URL"] == "redis://redis:6379"
    assert seconds(worker["stop_grace_period"]) > graces()


# --- Docker


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with its arguments."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, arguments.strip()) for name, arguments in found]


def of(name: str) -> list[str]:
    return [arguments for each, arguments in instructions() if each == name]


def test_the_dockerfile_is_one() -> None:
    names = [name for name, _ in instructions()]
    assert {*names} <= INSTRUCTIONS
    assert (names[0], names[-1]) == ("FROM", "CMD")
    (image,) = of("FROM")
    (version,) = re.findall(r"python:(3\.\d+)-slim", image)
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    (user,) = of("USER")
    assert int(user) > 0
    (command,) = of("CMD")
    program, *arguments = json.loads(command)  # in a shell, rediq would get no signals
    assert program == "rediq"
    assert make_parser().parse_args(arguments).app == "worker_app:app"


@attrs.frozen
class Image:
    """What the instructions of the Dockerfile made, in a folder and a virtual environment."""

    folder: Path
    environment: dict[str, str]

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        (command,) = of("CMD")
        return subprocess.Popen(
            json.loads(command),
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            executable=shutil.which("rediq", path=self.environment["PATH"]),
        )

    def healthy(self, **more: str) -> bool:
        (check,) = of("HEALTHCHECK")
        _, _, command = check.partition(" CMD ")
        return self.shell(command, **more).returncode == 0

    def shell(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Carry the instructions out: `RUN` in a new virtual environment, `COPY` into a folder."""
    base = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True, timeout=WITHIN)
    clean = {name: text for name, text in cli_environment().items() if name != "PYTHONPATH"}
    made = Image(base, clean | {"PATH": f"{base / 'venv' / 'bin'}:{os.environ['PATH']}"})
    for name, arguments in instructions():
        if name == "WORKDIR":
            made = attrs.evolve(made, folder=base / arguments.lstrip("/"))
            made.folder.mkdir(parents=True)
        elif name == "ENV":
            given = dict(pair.split("=", 1) for pair in shlex.split(arguments))
            made = attrs.evolve(made, environment=made.environment | given)
        elif name == "COPY":
            copy(*arguments.split(), into=made.folder)
        elif name == "RUN":
            ran = made.shell(arguments)
            if re.search(r"No matching distribution|Temporary failure|timed out", ran.stderr):
                pytest.skip("the package index cannot be reached")
            assert ran.returncode == 0, ran.stdout + ran.stderr
    return made


def copy(*paths: str, into: Path) -> None:
    """Copy as `COPY` does: the content of a folder, and files by their names."""
    *sources, target = paths
    folder = into / target
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, folder, dirs_exist_ok=True)
        else:
            shutil.copy(path, folder / path.name)


@pytest.fixture
def url() -> Iterator[str]:
    with running_server(require_any_server()) as server:
        yield server.url


@pytest.mark.slow
async def test_the_dockerfile_makes_a_worker_that_is_healthy_and_stops(
    image: Image, url: str
) -> None:
    assert sorted(path.name for path in image.folder.iterdir()) == ["worker_app.py"]
    more = {"REDIQ_URL": url, "REDIQ_METRICS_ADDRESS": "127.0.0.1"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        more["REDIQ_METRICS_PORT"] = str(free.getsockname()[1])
    worker = image.start(**more)
    try:
        async with rediq.connect(url) as client:
            handle = await client.enqueue(rediq.Task[str]("shout", {"text": "hello"}))
            assert await handle.result(timeout=WITHIN) == "HELLO!"
        await eventually(lambda: trio.to_thread.run_sync(lambda: image.healthy(**more)))
        worker.terminate()
        assert await trio.to_thread.run_sync(worker.wait, WITHIN) == 0
        assert not image.healthy(**more)
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
