"""The plugin for pytest: the fixture opens simulations and closes them."""

from __future__ import annotations

import pytest

import rediq_trio.testing.plugin
import rediq_trio.testing.simulation

pytest_plugins = ("pytester",)

APP = """
import rediq_trio as rediq
import trio

app = rediq.App()

@app.task("shout")
async def shout(text):
    await trio.sleep(20)
    return text.upper()
"""


@pytest.fixture
def tests(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(app=APP)
    return pytester


def run(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=f"import trio\nfrom app import app, shout\n{text}")
    return pytester.runpytest_inprocess(
        "-W", "error", "-p", "no:cacheprovider", plugins=[rediq_trio.testing.plugin]
    )


def test_a_plain_test_uses_the_fixture(tests: pytest.Pytester) -> None:
    found = run(tests, """
def test(rediq_sim):
    sim = rediq_sim(app, servers=2)
    assert sim.enqueue(shout.task("a")).result() == "A"
    assert [*sim.server] == ["w0", "w1"]
""")  # fmt: skip
    found.assert_outcomes(passed=1)


def test_an_async_test_uses_it_too(tests: pytest.Pytester) -> None:
    found = run(tests, """
async def test(rediq_sim):
    sim = rediq_sim(app)
    begun = trio.current_time()
    assert sim.enqueue(shout.task("a")).result() == "A"
    await trio.sleep(0.01)
    assert trio.current_time() - begun < 30
    assert sim.enqueue(shout.task("b")).result() == "B"
""")  # fmt: skip
    found.assert_outcomes(passed=1)


def test_two_simulations_may_be_open_at_once(tests: pytest.Pytester) -> None:
    found = run(tests, """
def test(rediq_sim):
    one, other = rediq_sim(app), rediq_sim(app, seed=1)
    first, second = one.enqueue(shout.task("a")), other.enqueue(shout.task("b"))
    one.advance(10)
    other.rest()
    assert first.info().state == "active"
    assert second.result() == "B"
    assert first.result() == "A"
""")  # fmt: skip
    found.assert_outcomes(passed=1)


def test_a_simulation_that_a_failed_test_leaves_is_closed(tests: pytest.Pytester) -> None:
    found = run(tests, """
opened = []

def test_that_fails(rediq_sim):
    opened.append(rediq_sim(app))
    opened[0].enqueue(shout.task("a"))
    opened[0].advance(1)
    assert False

def test_after_it():
    assert opened[0].closed
""")  # fmt: skip
    found.assert_outcomes(passed=1, failed=1)


def test_a_simulation_that_is_left_open_is_a_warning(tests: pytest.Pytester) -> None:
    found = run(tests, """
import gc, warnings
import pytest
from rediq_trio.testing.simulation import Simulation

def test():
    with pytest.warns(ResourceWarning, match="Simulation of 1 servers.* was left open"):
        Simulation(app)
        gc.collect()
""")  # fmt: skip
    found.assert_outcomes(passed=1)
