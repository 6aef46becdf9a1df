"""load_app: imports the App that `module:attribute` names."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from types import ModuleType
from typing import cast

from rediq_trio._errors import ConfigError, quote
from rediq_trio.handlers.app import App
from rediq_trio.store.urls import redacted

log = logging.getLogger("rediq_trio")


def load_app(target: str) -> App:
    """Import the module, with the current directory on the path, and return the app in it.

    Raises `ConfigError` if the module cannot be imported, or if the attribute is missing or not
    an `App`.
    """
    if "://" in target:
        raise ConfigError.of(
            "app", redacted(target), "module:attribute; a URL goes to --url or REDIQ_URL"
        )
    module_name, colon, path = target.partition(":")
    if "/" in module_name or "\\" in module_name:
        raise ConfigError.of("app", target, f"a module, not a file: {_as_module(target)}")
    if not module_name or not colon or not path:
        raise ConfigError.of("app", target, "module:attribute, like worker_app:app")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    module = _import(module_name, here)
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigError(
                f"app={quote(target)}: {module_name} has no {quote(path)}; {_apps_of(module)}"
            ) from None
    if not isinstance(found, App):
        raise ConfigError(
            f"app={quote(target)}: is of type {type(found).__name__}, no App; {_apps_of(module)}"
        )
    return cast("App", found)


def _import(name: str, here: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            if name.endswith(".py"):
                raise ConfigError(
                    f"app: there is no module {quote(name)}: {_as_module(name)}"
                ) from None
            raise ConfigError(
                f"app: there is no module {quote(missing)}: run rediq in the folder that has it "
                f"(this is {here}), or add that to PYTHONPATH"
            ) from None
        raise _unimportable(name, error) from error


def _as_module(file: str) -> str:
    """Return what to write for `folder/module.py:app`."""
    name, _, path = file.partition(":")
    parts = [part for part in name.removesuffix(".py").replace("\\", "/").split("/") if part]
    if name.startswith(("/", "..")):
        return f"write {parts[-1]}:{path or 'app'} in the folder that has it"
    return f"write {'.'.join(part for part in parts if part != '.')}:{path or 'app'}"


def _unimportable(name: str, error: Exception) -> ConfigError:
    log.debug("importing %s failed", name, exc_info=error)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith("<frozen") and f.filename != __file__]
    last = [f for f in theirs if not f.filename.startswith(os.path.dirname(importlib.__file__))]
    place = f" ({last[-1].filename}, line {last[-1].lineno})" if last else ""
    said = f"{type(error).__name__}: {error}"
    return ConfigError(
        f"app: importing {name} failed: {said}{place}; see it with: python -c 'import {name}'"
    )


def _apps_of(module: ModuleType) -> str:
    apps = sorted(name for name, value in vars(module).items() if isinstance(value, App))
    if not apps:
        return "make one there: app = rediq.App()"
    return f"it has {', '.join(f'{module.__name__}:{name}' for name in apps)}"
