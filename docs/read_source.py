"""What the generator reads of the library: docstrings that Python itself throws away."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import attrs

import rediq_trio


@attrs.frozen
class Named:
    """Something with a name, a value and a docstring below it."""

    name: str
    value: Any
    doc: str


@attrs.frozen
class Constant:
    """A documented number of a module."""

    module: str
    name: str
    value: float
    doc: str


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _docs_in(body: list[ast.stmt]) -> dict[str, str]:
    """Give the docstrings that stand below assignments, by the name assigned to."""
    found = {}
    for statement, following in itertools.pairwise(body):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)]):
                pass
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
                pass
            case _:
                continue
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = tidy(text)
            case _:
                pass
    return found


def tidy(text: str) -> str:
    """Give a docstring as Markdown: its indentation taken away."""
    first, _, rest = text.partition("\n")
    return (first.strip() + "\n" + textwrap.dedent(rest)).strip()


def oneline(text: str) -> str:
    """Give a docstring's first paragraph on one line, fit for a table's cell."""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def _class_node(kind: type) -> ast.ClassDef:
    """Return the definition of a class; an exception's `__module__` is the package that exports it."""
    named = importlib.import_module(kind.__module__)
    package = kind.__module__.partition(".")[0]
    others = [m for name, m in sorted(sys.modules.items()) if name.startswith(f"{package}.")]
    for module in (named, *others):
        if vars(module).get(kind.__name__) is kind:
            for node in ast.walk(_tree(module)):
                if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                    return node
    raise LookupError(f"no module of {package} defines {kind.__name__}")


def attribute_docs(kind: type) -> dict[str, str]:
    """Give the docstrings below the attributes of a class, those set in `__init__` too."""
    node = _class_node(kind)
    found = _docs_in(node.body)
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            found |= _docs_in(method.body)
    return found


def attributes_set(kind: type) -> list[str]:
    """Give the public attributes that `__init__` sets, in order."""
    node = _class_node(kind)
    names: list[str] = []
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for part in ast.walk(method):
                if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                    names.append(part.attr)
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def fields(kind: type) -> list[Named]:
    """Give the fields of an attrs class with their defaults; `attrs.NOTHING` for a required one."""
    docs = attribute_docs(kind)
    return [
        Named(field.name, field.default, docs.get(field.name, ""))
        for field in attrs.fields(kind)
        if not field.name.startswith("_")
    ]


def members(kind: Any) -> list[Named]:
    """Give the members of an enum."""
    docs = attribute_docs(kind)
    return [Named(member.name, member.value, docs.get(member.name, "")) for member in kind]


def modules() -> Iterator[ModuleType]:
    """Import and give every module that a task passes through."""
    prefix = rediq_trio.__name__ + "."
    for found in pkgutil.walk_packages(rediq_trio.__path__, prefix):
        if not found.name.startswith((prefix + "cli", prefix + "testing", prefix + "__main__")):
            yield importlib.import_module(found.name)


def constants() -> list[Constant]:
    """Give the documented public numbers of all modules, by module."""
    found = []
    for module in modules():
        for name, doc in _docs_in(_tree(module).body).items():
            value = getattr(module, name)
            if name.isupper() and not name.startswith("_") and type(value) in (int, float):
                path = module.__name__.removeprefix(rediq_trio.__name__ + ".")
                found.append(Constant(path, name, value, oneline(doc)))
    return found
