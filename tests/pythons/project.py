"""What pyproject.toml declares: the versions of Python, the dependencies and their lowest versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = ("cli", "embedded", "web", "encryption", "sentry")
"""The extras for users."""
TEST_TOOLS = (
    "hypothesis", "httpx", "psutil", "pytest", "pytest-timeout", "pytest-xdist", "structlog",
)  # fmt: skip
"""Those of the `dev` extra that tests import; the others lint, measure and build."""


def supported_pythons() -> list[str]:
    """Return the versions of Python that the project declares, like "3.11"."""
    return re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))


def test_tools() -> list[str]:
    """Return the requirements of `TEST_TOOLS`."""
    dev = map(Requirement, PROJECT["project"]["optional-dependencies"]["dev"])
    return [str(requirement) for requirement in dev if requirement.name in TEST_TOOLS]


def build_requirements() -> list[str]:
    """Return what building the library requires."""
    return list(PROJECT["build-system"]["requires"])


def lowest(requirement: str) -> str:
    """Return a requirement of the lowest version that another one allows; raise `ValueError`."""
    declared = Requirement(requirement)
    bounds = [each.version for each in declared.specifier if each.operator == ">="]
    if len(bounds) != 1 or len(declared.specifier) != 1:
        raise ValueError(f"{requirement!r} must have a lower bound, name>=version, and no other")
    return f"{declared.name}=={bounds[0]}"


def lowest_versions() -> list[str]:
    """Return the lowest version of each dependency of users and of `TEST_TOOLS`, for this Python."""
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *test_tools(), *build_requirements()]
    # An extra may ask for others of this project, which are here by themselves.
    declared += [
        each
        for extra in EXTRAS
        for each in extras[extra]
        if Requirement(each).name != PROJECT["project"]["name"]
    ]
    here = {name: str(value) for name, value in default_environment().items()}
    applying = (
        each
        for each in declared
        if (marker := Requirement(each).marker) is None or marker.evaluate(here)
    )
    return sorted(map(lowest, applying))
