"""The words of the frame: the pages' names, the keys and the states."""

from __future__ import annotations

NAVIGATION = (
    ("/", "Overview"),
    ("/queues", "Queues"),
    ("/failures", "Failures"),
    ("/dead", "Dead"),
    ("/workers", "Workers"),
    ("/schedules", "Schedules"),
    ("/workflows", "Workflows"),
    ("/check", "Check"),
    ("/audit", "Audit"),
    ("/help", "Help"),
)
"""The pages that each page leads to, with their names."""

KEYS = (
    (
        "Go",
        (
            ("g o", "Overview"),
            ("g q", "Queues"),
            ("g f", "Failures"),
            ("g d", "Dead"),
            ("g w", "Workers"),
            ("g s", "Schedules"),
            ("/", "Find, or filter"),
            ("Esc", "Out of a field, back"),
        ),
    ),
    (
        "Rows",
        (
            ("j  k", "Down, up"),
            ("Enter", "Open"),
            ("x", "Select"),
            ("X", "Select all on the page"),
        ),
    ),
    (
        "Act",
        (
            ("r", "Retry"),
            ("c", "Cancel"),
            ("p", "Pause or resume"),
            ("D", "Delete"),
            ("F", "Flush"),
        ),
    ),
    (
        "Page",
        (
            (".", "Live on or off"),
            ("t", "Theme"),
            ("z", "UTC or local"),
            ("?", "These keys"),
        ),
    ),
)
"""What each key does, by groups."""

STATE_MEANINGS = {
    "scheduled": "Runs later: its time has not come.",
    "blocked": "Waits for other tasks to end.",
    "grouped": "Waits in a group, to be done together.",
    "pending": "Ready: starts when a slot is free.",
    "active": "Runs on a worker, under a lease.",
    "retry": "Failed, and waits for its next attempt.",
    "completed": "Its handler returned.",
    "dead": "Failed for good; kept until you decide.",
    "cancelled": "Called off before it was done.",
}
"""What each state means."""

HEALTH = (
    ("well", "", "As it should be."),
    ("warning", "retry", "Something will go wrong, or goes wrong for a few."),
    ("bad", "dead", "Tasks do not run, or nothing can be said."),
    ("off", "cancelled", "Paused, quiet or stopped, by a person."),
    ("away", "dead", "Redis, or a worker, that does not answer."),
)
"""What the shapes of health mean: shape, the state in whose color it is, meaning."""

TERMS = (
    ("attempt", "One run of a task's handler. It is charged when it begins."),
    ("lease", "The time for which a worker holds a task that it runs; it is renewed while it runs."),
    ("dead", "A task that failed for good: its retries are used up, or it must not be tried again."),
    ("kind of failure", "Failed attempts that are alike: of one type, error, place and message."),
    ("limit key", "Tasks with the same key share a bound: how many at once, or how many in a time."),
    ("lane", "The place where tasks wait whose limit key is used up, in their order."),
    ("group", "Tasks that wait to be done together, as one batch."),
    ("p95", "The value that 95 of 100 are below."),
    ("target", "How long a task may wait, or how many may fail: it is set for each queue."),
    ("mark", "A line in the charts, like a deployment: rediq mark TEXT."),
)
"""The words that are not plain from where they stand."""
