"""What is shipped: the names of the front door, and what is in an sdist and a wheel."""

from __future__ import annotations

import ast
import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import traceback
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import rediq_trio as rediq
from rediq_trio.store.redis.scripts import load_scripts

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
SUITE = "rediq_trio/testing/conformance/suite"
STORE_OF_ANOTHER_PROJECT = """
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import rediq_trio
from rediq_trio.testing.conformance import cases, suite_folder

assert Path(rediq_trio.__file__).parents[1].name == "installed"
assert suite_folder().name == "suite"

class MyStore(rediq_trio.MemoryStore):
    pass

class LateStore(rediq_trio.MemoryStore):
    async def claim(self, queue, /, *, lease_ms, **options):
        return await super().claim(queue, lease_ms=lease_ms + 1, **options)

def opened(kind):
    @asynccontextmanager
    async def open_store(clock):
        yield kind(clock)
    return open_store

@pytest.mark.parametrize("case", cases(), ids=str)
def test_mine(case):
    case.run(opened(MyStore))

@pytest.mark.parametrize("case", cases(), ids=str)
def test_late(case):
    case.run(opened(LateStore))
"""


def test_the_public_names_are_sorted_and_there() -> None:
    assert list(rediq.__all__) == sorted(set(rediq.__all__))
    assert [name for name in rediq.__all__ if not hasattr(rediq, name)] == []


def test_errors_show_by_the_name_by_which_they_are_imported() -> None:
    errors = [
        thing
        for name in rediq.__all__
        if isinstance(thing := getattr(rediq, name), type) and issubclass(thing, BaseException)
    ]
    assert len(errors) > 15
    assert {error.__module__ for error in errors} == {"rediq_trio"}
    shown = traceback.format_exception_only(rediq.TaskFailed("q/1", "dead", "why"))
    assert shown == ["rediq_trio.TaskFailed: task q/1 is dead: why\n"]


def test_every_public_class_and_function_has_a_docstring() -> None:
    public = [getattr(rediq, name) for name in rediq.__all__]
    assert [thing for thing in public if not getattr(thing, "__doc__", None)] == []


def test_importing_the_library_imports_neither_asyncio_s_bridge_nor_redis_nor_an_extra() -> None:
    late = {"trio_asyncio", "redis", "rich", "hypercorn", "starlette", "prometheus_client", "sentry_sdk"}
    looking = f"import sys, rediq_trio; print(sorted({late} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", looking],
        env=os.environ | {"PYTHONPATH": str(Path(rediq.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_the_version_has_one_source_and_is_that_of_the_distribution() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    source = ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{rediq.__version__}"\n' in source.read_text("utf-8")
    assert rediq.__version__ == version("rediq-trio")


def test_the_addresses_of_the_project_are_in_its_repository() -> None:
    urls = dict(PROJECT["urls"])
    repository = urls.pop("Repository")
    assert re.fullmatch(r"https://[\w./-]+[^/]", repository)
    assert {*urls} == {"Changelog", "Documentation", "Issues"}
    assert [url for url in urls.values() if not url.startswith(f"{repository}/")] == []
    files = [url.partition("/blob/main/")[2] for url in urls.values() if "/blob/" in url]
    assert [path for path in files if not (ROOT / path).is_file()] == []


def test_the_metadata_says_who_and_what() -> None:
    assert {"name", "description", "readme", "license", "authors", "keywords"} <= PROJECT.keys()
    known = {"Development Status", "Framework", "Intended Audience", "Operating System"}
    known |= {"Programming Language", "Topic", "Typing"}
    assert {name.partition(" :: ")[0] for name in PROJECT["classifiers"]} == known


def test_the_extras_of_the_readme_and_of_contributing_are_published() -> None:
    # pip 23 installs extras; it knows no dependency groups.
    named = {
        extra
        for page in ("README.md", "CONTRIBUTING.md")
        for found in re.findall(
            r"pip install [^\n`]*\[([\w,]+)\]", (ROOT / page).read_text("utf-8")
        )
        for extra in found.split(",")
    }
    assert {"dev", "embedded"} <= named <= PROJECT["optional-dependencies"].keys()
    assert "docs" in PROJECT["optional-dependencies"]


def test_the_supported_pythons_are_declared_alike() -> None:
    # No upper bound: with one, an installer on a newer Python looks for an older release.
    assert PROJECT["requires-python"] == ">=3.11"
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert declared == ["3.11", "3.12", "3.13", "3.14"]


def test_the_console_script_exists() -> None:
    module, function = PROJECT["scripts"]["rediq"].split(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an sdist of the checkout, and a wheel that was built from that sdist."""
    if find_spec("build") is None:
        pytest.skip("the package `build` is not installed: pip install '.[dev]'")
    folder = tmp_path_factory.mktemp("built")
    building = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if building.returncode and re.search(
        r"No matching distribution|Connection|Temporary failure|timed out",
        building.stdout + building.stderr,
    ):
        pytest.skip("the build backend cannot be installed: no package index can be reached")
    assert building.returncode == 0, building.stdout + building.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Mapping[str, bytes]:
    """Give the files of the wheel by name."""
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(built: Path) -> list[str]:
    """Give the names of the sdist's files, below its folder."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def files_below(folder: Path, pattern: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob(pattern)
    }


@pytest.mark.slow
def test_the_wheel_has_the_lua_of_the_checkout(wheel: Mapping[str, bytes]) -> None:
    prefix = "rediq_trio/lua/"
    shipped = {name.removeprefix(prefix): body for name, body in wheel.items() if prefix in name}
    expected = files_below(ROOT / "lua", "*.lua")
    assert "worker/claim.lua" in expected
    assert {name: body for name, body in shipped.items() if name.endswith(".lua")} == expected


@pytest.mark.slow
def test_the_wheel_s_lua_makes_the_same_scripts(wheel: Mapping[str, bytes], tmp_path: Path) -> None:
    for name, body in wheel.items():
        if name.startswith("rediq_trio/lua/"):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    shipped = load_scripts(tmp_path / "rediq_trio" / "lua")
    ours = load_scripts(ROOT / "lua")
    assert {name: script.sha for name, script in shipped.items()} == {
        name: script.sha for name, script in ours.items()
    }


@pytest.mark.slow
def test_the_wheel_has_the_code_of_the_checkout_and_nothing_else(
    wheel: Mapping[str, bytes],
) -> None:
    shipped = {name: body for name, body in wheel.items() if name.endswith(".py")}
    assert shipped == files_below(ROOT / "src", "*.py") | {
        f"{SUITE}/{name}": body
        for name, body in files_below(ROOT / "tests" / "conformance", "*.py").items()
        if name not in {"conftest.py", "stores.py", "wired.py"}
    }
    tops = {name.partition("/")[0] for name in wheel}
    assert tops == {"rediq_trio", f"rediq_trio-{rediq.__version__}.dist-info"}


@pytest.mark.slow
def test_the_suite_of_an_installed_wheel_finds_a_fault_in_a_store(
    built: Path, tmp_path: Path
) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "installed")
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_store.py").write_text(STORE_OF_ANOTHER_PROJECT, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_claim"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    failed = re.findall(r"^FAILED test_store.py::(\w+)\[(\S+)\]", done.stdout, re.MULTILINE)
    assert ("test_late", "test_claim.py::test_a_claim_leases_a_task") in failed, done.stdout
    assert {test for test, _ in failed} == {"test_late"}
    assert re.search(r"assert Claimed\(.* == Claimed\(", done.stdout)  # asserts show their values
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20


@pytest.mark.slow
def test_the_wheel_is_marked_as_typed_and_carries_its_licence(wheel: Mapping[str, bytes]) -> None:
    assert "rediq_trio/py.typed" in wheel
    assert any(name.endswith("LICENSE") for name in wheel)


@pytest.mark.slow
def test_the_metadata_of_the_wheel_holds_outside_of_the_repository(
    wheel: Mapping[str, bytes],
) -> None:
    (name,) = (name for name in wheel if name.endswith("/METADATA"))
    said = email.message_from_bytes(wheel[name])
    assert said["Version"] == rediq.__version__
    shown = dict(line.split(", ") for line in said.get_all("Project-URL", []))
    assert shown == PROJECT["urls"]
    assert {"dev", "docs"} <= {*said.get_all("Provides-Extra", [])}
    page = said.get_payload()
    assert isinstance(page, str)
    assert "[docs/tutorial.md]: https://" in page
    assert re.findall(r"\]\((?!https://)[^)]*\)", page) == []


@pytest.mark.slow
def test_the_sdist_has_what_its_tests_need(sdist: list[str]) -> None:
    wanted = ["pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "lua/worker/claim.lua"]
    wanted += ["examples/deploy/Dockerfile", "docs/examples/web/reports.py"]
    wanted += ["examples/hello.py", "tests/conftest.py", "docs/index.md", "src/rediq_trio/py.typed"]
    assert [name for name in wanted if name not in sdist] == []
    assert [name for name in sdist if "__pycache__" in name or name.endswith(".pyc")] == []
