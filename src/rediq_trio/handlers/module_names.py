"""The name by which a worker imports a module, also of one that runs as a script.

A script is imported as `__main__` where it is started, and under its own name by a worker. The
name of a handler has to be the same in both, or no worker would find it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_SCRIPTS = ("__main__", "__mp_main__")
"""The names of a module that runs as a script; the second is that of a `multiprocessing` child."""


def module_name(variables: Mapping[str, Any]) -> str:
    """Return the name of the module with these global variables.

    Of a script it is the name after `python -m`, else that of its file, with the packages that the
    file is in. It is `__main__` if there is no file, as in an interactive session.
    """
    name = str(variables.get("__name__") or "")
    if name not in _SCRIPTS:
        return name
    spec, file = variables.get("__spec__"), variables.get("__file__")
    if spec is not None and spec.name not in _SCRIPTS:
        return str(spec.name)
    if not file:
        return "__main__"
    path = Path(file)
    parts = [path.stem]
    for folder in path.absolute().parents:
        if not (folder / "__init__.py").is_file():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)


def module_of(function: Callable[..., Any]) -> str:
    """Return the name of the module that defines a function."""
    if function.__module__ not in _SCRIPTS:
        return function.__module__
    variables = getattr(inspect.unwrap(function), "__globals__", {})
    if variables.get("__name__") not in _SCRIPTS:
        variables = vars(sys.modules["__main__"])
    return module_name(variables)
