"""load_app: imports the App that `module:attribute` names; load_named: imports what else it may name."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
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
    module, found = load_named(target, "app", apps_of)
    if not isinstance(found, App):
        raise ConfigError(
            f"app={quote(target)}: is of type {type(found).__name__}, no App; {apps_of(module)}"
        )
    return cast("App", found)


def load_named(
    target: str, field: str, there_is: Callable[[ModuleType], str]
) -> tuple[ModuleType, object]:
    """Import what `module:attribute` names, and return the module and the value.

    An error names the argument by `field`; if the attribute is missing, it ends with what the function
    says of the module.
    """
    if "://" in target:
        raise ConfigError.of(
            field, redacted(target), "module:attribute; a URL goes to --url or REDIQ_URL"
        )
    module_name, colon, path = target.partition(":")
    if "/" in module_name or "\\" in module_name:
        raise ConfigError.of(field, target, f"a module, not a file: {_as_module(target)}")
    if not module_name or not colon or not path:
        raise ConfigError.of(field, target, "module:attribute, like worker_app:app")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    module = _import(module_name, field, here)
    found: object = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigError(
                f"{field}={quote(target)}: {module_name} has no {quote(path)}; {there_is(module)}"
            ) from None
    return module, found


def _import(name: str, field: str, here: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            if name.endswith(".py"):
                raise ConfigError(
                    f"{field}: there is no module {quote(name)}: {_as_module(name)}"
                ) from None
            raise ConfigError(
                f"{field}: there is no module {quote(missing)}: run rediq in the folder that has it "
                f"(this is {here}), or add that to PYTHONPATH"
            ) from None
        raise _unimportable(name, field, error) from error


def _as_module(file: str) -> str:
    """Return what to write for `folder/module.py:app`."""
    name, _, path = file.partition(":")
    parts = [part for part in name.removesuffix(".py").replace("\\", "/").split("/") if part]
    if name.startswith(("/", "..")):
        return f"write {parts[-1]}:{path or 'app'} in the folder that has it"
    return f"write {'.'.join(part for part in parts if part != '.')}:{path or 'app'}"


def _unimportable(name: str, field: str, error: Exception) -> ConfigError:
    log.debug("importing %s failed", name, exc_info=error)
    return ConfigError(
        f"{field}: importing {name} failed: {describe_error(error)}; see it with: python -c 'import {name}'"
    )


def describe_error(error: Exception) -> str:
    """Return what was raised, and the last line of a user's that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    package = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
    theirs = [f for f in frames if not f.filename.startswith(("<frozen", package))]
    last = [f for f in theirs if not f.filename.startswith(os.path.dirname(importlib.__file__))]
    place = f" ({last[-1].filename}, line {last[-1].lineno})" if last else ""
    return f"{type(error).__name__}: {error}{place}"


def apps_of(module: ModuleType) -> str:
    """Return which apps a module has, or how to make one."""
    apps = sorted(name for name, value in vars(module).items() if isinstance(value, App))
    if not apps:
        return "make one there: app = rediq.App()"
    return f"it has {', '.join(f'{module.__name__}:{name}' for name in apps)}"
