"""How hard Hypothesis tries: `HYPOTHESIS_PROFILE` is dev, ci (the default) or thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = {"dev": 20, "ci": 300, "thorough": 3000}
STEPS = 60
"""Steps of one history."""


def load_profile() -> None:
    """Register the profiles and load the one that is asked for."""
    for name, examples in EXAMPLES.items():
        settings.register_profile(
            name,
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,  # a step waits for a real server
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
            print_blob=True,
        )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
