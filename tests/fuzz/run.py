"""The harness for atheris, Google's coverage-guided fuzzer.

    pip install atheris
    python -m tests.fuzz.run -atheris_runs=1000000 [-max_len=4096] [FOLDER_OF_A_CORPUS]

A crash is written to a file `crash-...`; make a test of it in tests/security/test_fuzz.py.
The corpus is not kept in the repository.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rediq_trio"]):
    from tests.fuzz.target import try_everything

from benchmarks.payloads import Maker

SEEDS = 200
"""Harmed envelopes that a run begins with, when no corpus is given."""


def main() -> None:
    """Fuzz until it is told to stop, or finds a crash."""
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory(prefix="rediq-corpus-") as folder:
        if all(one.startswith("-") for one in arguments[1:]):
            for number, data in enumerate(islice(Maker(0), SEEDS)):
                Path(folder, str(number)).write_bytes(data)
            arguments.append(folder)
        atheris.Setup(arguments, try_everything)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
