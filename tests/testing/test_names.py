from __future__ import annotations

import subprocess
import sys

import pytest

from rediq_trio import testing


def test_every_name_of_the_test_kit_can_be_imported() -> None:
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    assert sorted(testing.__all__, key=lambda name: (name.islower(), name)) == testing.__all__


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Simulatoin'"):
        testing.Simulatoin  # type: ignore[attr-defined]  # noqa: B018


def test_a_name_is_imported_when_it_is_used() -> None:
    program = (
        "import sys, rediq_trio\n"
        "assert not any(name.startswith('rediq_trio.testing') for name in sys.modules)\n"
        "from rediq_trio.testing import Trial\n"
        "assert not any(name.startswith(('hypothesis', 'pytest')) for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_machine_without_hypothesis_names_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "from rediq_trio.testing import QueueMachine\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "need the extra `testing`: pip install 'rediq-trio[testing]'" in done.stderr
