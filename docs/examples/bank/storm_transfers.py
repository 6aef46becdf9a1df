"""What `rediq sim` runs: the transfers with the bug, in storms, and what has to hold."""

from storm import STORM, BankStory
from transfers import make_app

__all__ = ["STORM", "story"]

story = BankStory(make_app)
