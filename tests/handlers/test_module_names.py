from __future__ import annotations

import functools
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio.handlers.module_names import module_name, module_of


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"__name__": "shop.mail"}, "shop.mail"),
        ({"__name__": "__main__", "__spec__": ModuleSpec("shop.mail", None)}, "shop.mail"),
        ({"__name__": "__main__", "__spec__": ModuleSpec("shop.__main__", None)}, "shop.__main__"),
        ({"__name__": "__main__", "__spec__": None, "__file__": "mail.py"}, "mail"),
        ({"__name__": "__mp_main__", "__spec__": None, "__file__": "/nowhere/mail.py"}, "mail"),
        ({"__name__": "__main__", "__spec__": None, "__file__": "a.zip/__main__.py"}, "__main__"),
        ({"__name__": "__main__", "__spec__": None}, "__main__"),
    ],
)  # fmt: skip
def test_a_module_has_the_name_that_a_worker_imports(variables: dict[str, Any], name: str) -> None:
    assert module_name(variables) == name


def test_a_script_in_a_package_is_named_with_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "tasks"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").touch()
    found = {"__name__": "__main__", "__spec__": None, "__file__": str(folder / "mail.py")}
    assert module_name(found) == "shop.tasks.mail"


def test_a_decorated_function_of_a_script_has_the_name_of_the_script() -> None:
    found: dict[str, Any] = {"__name__": "__main__", "__spec__": None, "__file__": "mail.py"}
    exec("async def hello(): ...", found)

    @functools.wraps(found["hello"])
    def wrapper() -> Any:
        return found["hello"]()

    assert wrapper.__module__ == "__main__"
    assert module_of(wrapper) == "mail"
    assert rediq.App().task(found["hello"]).name == "mail:hello"


def test_a_function_of_a_module_has_its_name() -> None:
    assert module_of(module_name) == "rediq_trio.handlers.module_names"
    assert isinstance(module_name, types.FunctionType)


async def test_a_task_of_a_session_says_how_to_name_its_handler() -> None:
    with pytest.raises(
        rediq.UnknownTaskType, match=r"give the handler a name, @app.task\('hello'\)"
    ):
        rediq.App().handler("__main__:hello")
