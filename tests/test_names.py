"""One name, one meaning: no class and no constant is defined in two modules of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rediq_trio
from tests.test_layers import SHIPPED_TESTS

ROOT = Path(rediq_trio.__file__).parent


def defined(tree: ast.Module) -> Iterator[str]:
    """Return the classes and the constants that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value is not None and "TypeVar(" in ast.unparse(node.value):
                continue  # type variables: R is the result of a task in every module
            if node.value is not None and "ParamSpec(" in ast.unparse(node.value):
                continue
            for target in targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                for name in names:
                    if isinstance(name, ast.Name) and _names_a_thing(name.id):
                        yield name.id


def _names_a_thing(name: str) -> bool:
    # A constant, or the alias of a type.
    bare = name.lstrip("_")
    return not name.startswith("__") and (bare.isupper() or bare[:1].isupper())


def definitions() -> dict[str, list[str]]:
    """Return for each name the modules that define it."""
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix()
        if module.startswith(SHIPPED_TESTS):
            continue
        for name in {*defined(ast.parse(path.read_text("utf-8")))}:
            found.setdefault(name, []).append(module)
    return found


DEFINED = definitions()
DECLARED = {"ACTS", "PAGES"}
"""What each module of pages declares under the same name, as entries of one table."""
TWICE = {
    name: modules
    for name, modules in DEFINED.items()
    if len(modules) > 1 and name not in DECLARED
}


def test_no_name_stands_for_two_things() -> None:
    assert len(DEFINED) > 300
    assert TWICE == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("class Draft: ...", ["Draft"]),
        ("class _Duty: ...", ["_Duty"]),
        ("AT_ONCE = 5", ["AT_ONCE"]),
        ("_KINDS: int = 5", ["_KINDS"]),
        ("FIRST, LAST = 1, 2", ["FIRST", "LAST"]),
        ("Outcome = int | str", ["Outcome"]),
        ("R = TypeVar('R')", []),
        ("P = ParamSpec('P')", []),
        ("log = getLogger()", []),
        ("__all__ = []", []),
        ("def f():\n    AT_ONCE = 5", []),
    ],
)
def test_what_counts_as_a_name(text: str, names: list[str]) -> None:
    assert [*defined(ast.parse(text))] == names
