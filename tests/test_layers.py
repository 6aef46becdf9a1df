"""Imports go down only: read from the source, so that no climb and no circle can come in."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rediq_trio

ROOT = Path(rediq_trio.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
FOUNDATIONS = ("_errors", "_nursery")
LEVELS = {"spec": 0, "store": 1, "worker": 3, "web": 5, "cli": 5, "__main__": 5}
"""Modules at the top are level 2 (what handlers are written with and run by) or 4 (`serve`)."""
SERVING = ("serve", "")
OPENED = {"rediq_trio.serve": {"rediq_trio.web.door"}}
"""Doors that a module below them opens, late: an HTTP endpoint lasts as long as its worker."""


def imports(path: Path, *, late: bool) -> set[str]:
    """Give the modules of ours that a module imports; `late` includes those inside functions."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if late else tree.body
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def level(module: str) -> int:
    name = module.removeprefix("rediq_trio").removeprefix(".")
    if name in FOUNDATIONS:
        return -1
    if name in SERVING:
        return 4
    return LEVELS.get(name.split(".")[0], 2)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above(module: str) -> None:
    ours = imports(MODULES[module], late=True) & MODULES.keys() - {"rediq_trio"}
    if module == "rediq_trio":
        assert all(level(other) <= 4 for other in ours)
    else:
        opened = OPENED.get(module, set())
        assert not imports(MODULES[module], late=False) & opened
        assert {other for other in ours - opened if level(other) > level(module)} == set()


def test_there_is_no_circle() -> None:
    graph = {
        name: imports(path, late=False) & MODULES.keys() - {name} for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("rediq_trio.spec")])
def test_the_specification_is_pure(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(MODULES[module], late=True)}
    assert not foreign & {"trio", "redis", "asyncio", "trio_asyncio", "msgpack", "socket", "time"}


def test_one_room_knows_redis_and_the_bridge() -> None:
    knowing = {
        name
        for name, path in MODULES.items()
        if {n.split(".")[0] for n in imports(path, late=True)} & {"redis", "trio_asyncio", "asyncio"}
    }
    room = {name for name in knowing if name.startswith("rediq_trio.store.bridge.")}
    assert knowing - room == {"rediq_trio.store.gateway"}


ACTORS = ("poller", "executor", "settler", "heartbeat", "keeper", "progress")


@pytest.mark.parametrize("actor", ["poller", "executor", "heartbeat", "keeper", "progress"])
def test_actors_do_not_import_one_another(actor: str) -> None:
    names = {f"rediq_trio.worker.{other}" for other in ACTORS if other != actor}
    assert not imports(MODULES[f"rediq_trio.worker.{actor}"], late=True) & names


LONG = {
    "rediq_trio.spec.queue": 540,  # the whole queue in one place is what a reader comes for
    "rediq_trio.spec.records": 500,  # one short class for each value, and a line for each field
    "rediq_trio.spec.invariants": 350,  # one short function for each
    "rediq_trio.spec.values": 320,  # a task's options, one short line for each
    "rediq_trio.spec.draft": 335,  # all that may happen to a task within one step
    "rediq_trio.store.redis": 570,  # one short method per script
    "rediq_trio.store.memory": 480,  # one short method per transition
    "rediq_trio.store.codec": 320,  # one short function for each kind of bytes
    "rediq_trio.app": 390,  # four kinds of things to register, each with its typed decorator
}


def test_no_module_and_no_function_is_long() -> None:
    for name, path in MODULES.items():
        text = path.read_text("utf-8")
        assert text.count("\n") <= LONG.get(name, 310), f"{name} is too long to read at one go"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno <= 60, f"{name}.{node.name} is too long"
