"""A test of the repaired transfers in storms of faults, other ones each time."""

from repaired import make_app
from storm import STORM, BankStory

from rediq_trio.testing import simulate


def test_no_transfer_is_made_twice_whatever_breaks() -> None:
    story = BankStory(make_app)
    simulate(story.make, STORM, seeds=10, hours=0.02, at_rest=[story.no_transfer_is_made_twice])
