"""Looks for a storm in which a transfer is made twice; prints it, and draws it if a file is named."""

import sys
from pathlib import Path

from storm import STORM, BankStory
from transfers import make_app

from rediq_trio.testing import SimulationFailed, simulate

story = BankStory(make_app)
try:
    simulate(
        story.make, STORM, seed=60, seeds=500, hours=0.02, keep=None,
        at_rest=[story.no_transfer_is_made_twice],
    )  # fmt: skip
except SimulationFailed as failure:
    print(failure)
    print(failure.timeline())
    for name in sys.argv[1:]:
        Path(name).write_text(failure.svg())
