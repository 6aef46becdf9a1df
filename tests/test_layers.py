"""Imports go down only: read from the source, so that no climb and no circle can come in."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rediq_trio

ROOT = Path(rediq_trio.__file__).parent
SHIPPED_TESTS = "testing/conformance/suite"
"""A folder of an installed package: the wheel puts tests there that lie with the other tests."""
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
    if not path.is_relative_to(ROOT / SHIPPED_TESTS)
}
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_errors",),
    ("spec",),
    ("values",),
    ("wire",),
    ("store",),
    ("settings",),
    ("tasks",),
    ("workflow", "schedules"),
    ("admin",),
    ("client",),
    ("observe",),
    ("handlers",),
    ("worker",),
    ("web",),
    ("serve",),
    ("sentry", "telemetry"),
    ("clients",),
    ("asyncio",),
    ("dash",),
    ("rediq_trio",),
    ("testing",),
    ("cli",),
    ("__main__",),
)
"""The packages and modules of the top level, from the bottom up. Each imports from those below it;
those of one layer do not import one another.

`docs/internals/architecture.md` has a picture of it, and the docstring of `rediq_trio` a list.
"""
ASYNCIO_CLIENT = {"rediq_trio.clients.asyncio_calls"}
OPENED = {"rediq_trio.serve": {"rediq_trio.web.health_server"}}
"""What is imported late, because it needs an extra."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path, *, late: bool) -> frozenset[str]:
    """Give the modules of ours that a module imports; `late` includes those inside functions."""
    tree = parsed(path)
    nodes = ast.walk(tree) if late else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= MODULES.keys() else names | {node.module}
    return frozenset(found)


def described() -> dict[tuple[str, ...], str]:
    """Return the layers that the docstring of `rediq_trio` lists, from the top down, with its text
    about each."""
    assert rediq_trio.__doc__
    _, table, _ = rediq_trio.__doc__.strip().split("\n\n")
    lines = table.splitlines()
    column = lines[0].index("`")
    return {tuple(line[:column].split()): line[column:] for line in lines}


def test_the_docstring_of_the_package_lists_the_layers() -> None:
    assert [*described()] == [layer for layer in reversed(LAYERS) if layer != ("rediq_trio",)]
    assert all(described().values())


def room(module: str) -> str:
    """Return the top-level module or folder that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def level(module: str) -> int:
    """Return the height of a module's room, 0 for the ground."""
    (found,) = (n for n, rooms in enumerate(LAYERS) if room(module) in rooms)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_rooms_below(module: str) -> None:
    ours = imports(MODULES[module], late=True) & MODULES.keys() - {"rediq_trio"}
    above = {
        other
        for other in ours
        if room(other) != room(module)
        and level(other) >= level(module)
    }
    assert above == set()
    assert not imports(MODULES[module], late=False) & OPENED.get(module, set())


def test_there_is_no_circle() -> None:
    # Imports of functions and those under TYPE_CHECKING too.
    graph = {
        name: imports(path, late=True) & MODULES.keys() - {name, "rediq_trio"}
        for name, path in MODULES.items()
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("rediq_trio.spec")])
def test_the_specification_is_pure(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(MODULES[module], late=True)}
    assert not foreign & {"trio", "redis", "asyncio", "trio_asyncio", "msgpack", "socket", "time"}


def test_one_room_knows_redis_and_the_bridge() -> None:
    knowing = {
        name
        for name, path in MODULES.items()
        if {n.split(".")[0] for n in imports(path, late=True)}
        & {"redis", "trio_asyncio", "asyncio"}
    }
    assert knowing
    knowing -= ASYNCIO_CLIENT
    assert all(name.startswith("rediq_trio.store.redis.connection.") for name in knowing)


def test_the_asyncio_client_is_the_only_other_module_that_knows_asyncio() -> None:
    for name in ASYNCIO_CLIENT:
        known = {n.split(".")[0] for n in imports(MODULES[name], late=True)}
        assert "asyncio" in known
        assert not known & {"redis", "trio_asyncio"}


def test_only_its_command_knows_the_screen_and_only_the_screen_knows_textual() -> None:
    knowing = {
        name
        for name, path in MODULES.items()
        if "textual" in {each.split(".")[0] for each in imports(path, late=True)}
    }
    assert knowing == {"rediq_trio.dash.driver", "rediq_trio.dash.terminal"}
    opening = {
        name
        for name, path in MODULES.items()
        if room(name) != "dash" and any(room(each) == "dash" for each in imports(path, late=True))
    }
    assert opening == {"rediq_trio.cli.dash", "rediq_trio.cli.tasks.edit_on_screen"}
    assert not any(room(each) == "dash" for each in imports(MODULES["rediq_trio.cli.dash"], late=False))


SIMULATES = {f"rediq_trio.cli.inspect.{name}" for name in ("sim", "sim_report", "sim_target")}
"""Modules outside of `testing/` that may import it, in a function: its commands."""


def test_only_its_commands_know_the_test_kit() -> None:
    knowing = {
        name
        for name, path in MODULES.items()
        if room(name) != "testing"
        and any(room(each) == "testing" for each in imports(path, late=True) & MODULES.keys())
    }
    assert knowing <= SIMULATES
    for name in knowing:
        assert not any(room(each) == "testing" for each in imports(MODULES[name], late=False))


ACTORS = ("poller", "executor", "settler", "heartbeat", "keeping.keeper", "progress")
CALLS: Mapping[str, set[str]] = {
    # The last progress of an attempt must be written before its outcome: afterwards its token is
    # void. A channel could not say when that is done, so the settler awaits the flusher itself.
    "settler": {"progress"},
}
"""The actors that call another one, each with the reason. All others meet in channels."""


@pytest.mark.parametrize("actor", ACTORS)
def test_actors_do_not_import_one_another(actor: str) -> None:
    names = {f"rediq_trio.worker.{other}": other for other in ACTORS if other != actor}
    imported = imports(MODULES[f"rediq_trio.worker.{actor}"], late=True)
    assert {names[name] for name in imported & names.keys()} == CALLS.get(actor, set())


NOT_OF_THE_SOURCE = {"__pycache__", "lua", "py.typed"}
"""What a package has beside its source: the scripts are in `lua/` of the repository, and `py.typed` is a
mark for type checkers."""
TOP_MAX, FOLDER_MAX = 25, 20
"""Maximum entries at the top level of the package, and in any folder of it."""
DEPTH_MAX = 3
"""Maximum names on the way from the package to a module: `rediq_trio/store/redis/store.py` has 3."""
DEEPER = ("store/redis/",)
"""Folders whose own folders may be one level deeper: all that knows Redis is in one place."""
FOLDERS = ("", *sorted({p.parent.relative_to(ROOT).as_posix() for p in MODULES.values()} - {"."}))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder or "the top level")
def test_a_folder_has_few_entries(folder: str) -> None:
    entries = [e.name for e in (ROOT / folder).iterdir() if e.name not in NOT_OF_THE_SOURCE]
    most = FOLDER_MAX if folder else TOP_MAX
    assert len(entries) <= most, (
        f"rediq_trio/{folder} has {len(entries)} entries, {most} at most: {sorted(entries)}"
    )


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder or "the top level")
def test_a_folder_is_not_deep(folder: str) -> None:
    depth = len(Path(folder).parts) + 1  # that of the modules in it
    most = DEPTH_MAX + folder.startswith(DEEPER)
    assert depth <= most, f"rediq_trio/{folder} is {depth} levels deep, {most} at most"


LONG = "Long, because "
"""What the docstring of a module says that has more than 350 lines."""


def test_no_module_and_no_function_is_long() -> None:
    for name, path in MODULES.items():
        text = path.read_text("utf-8")
        short = text.count("\n") <= 350
        assert short or LONG in (ast.get_docstring(parsed(path)) or ""), (
            f"{name} has {text.count(chr(10))} lines, 350 at most: its docstring does not say {LONG!r}"
        )
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno <= 60, f"{name}.{node.name} is too long"
