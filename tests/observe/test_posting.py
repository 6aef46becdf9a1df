"""Alerts are sent on as JSON, once per change, to a real HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import pytest
import trio

from rediq_trio import ConfigError
from rediq_trio.observe import posting
from rediq_trio.observe.posting import AlertPoster, NotPosted, check_post_url
from rediq_trio.observe.views import FleetView
from tests.observe.views import fleet, queue, worker

WITHIN = 30.0
DEAD, FINE = fleet(queue(dead=1)), fleet(queue())


@attrs.define
class Receiver:
    """What was posted to a server, and how it answers."""

    url: str = ""
    bodies: list[dict[str, Any]] = attrs.field(factory=list)
    answers: list[int] = attrs.field(factory=list)
    """The statuses of the next answers; then 204."""
    go_on: threading.Event = attrs.field(factory=threading.Event)
    """Answers wait for it."""

    def changes(self) -> list[tuple[str, str, str]]:
        """Return what was accepted: the change, the rule and the subject of each."""
        return [
            (each["change"], each["alert"]["rule"], each["alert"]["subject"])
            for body in self.bodies
            for each in body["changes"]
        ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a server for as long as the block lasts."""
    receiver = Receiver()
    receiver.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.go_on.wait(WITHIN)
            status = receiver.answers.pop(0) if receiver.answers else 204
            if status < 300:
                assert self.headers["Content-Type"] == "application/json"
                receiver.bodies.append(json.loads(body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook/secret"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.go_on.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def poster_to(receiver: Receiver) -> tuple[AlertPoster, list[str]]:
    said: list[str] = []
    return AlertPoster(receiver.url, said.append), said


async def test_an_alert_is_sent_when_it_is_raised_and_when_it_is_over(receiver: Receiver) -> None:
    poster, said = poster_to(receiver)
    for view in (FINE, DEAD, fleet(queue(dead=7)), DEAD, FINE, FINE):
        poster.see(view)
        await poster.deliver(1)
    assert receiver.changes() == [("raised", "dead", "q"), ("over", "dead", "q")]
    assert said == []
    (change,) = receiver.bodies[0]["changes"]
    assert receiver.bodies[0]["rediq"] == 1
    assert change["at"] == "2026-11-29T02:50:21Z"
    assert change["alert"] == {
        "rule": "dead", "severity": "warn", "subject": "q", "text": "it has 1 dead task",
        "next_step": "rediq failures q",
    }  # fmt: skip


@pytest.mark.parametrize(
    "blind",
    [
        attrs.evolve(FINE, away="gone"),
        fleet(unread={"q": "gone"}),
        attrs.evolve(FINE, unknown={"dead": "no"}),
    ],
    ids=["away", "unread", "unknown"],
)
async def test_an_alert_is_not_over_while_nothing_can_be_said(
    blind: FleetView, receiver: Receiver
) -> None:
    poster, _ = poster_to(receiver)
    for view in (DEAD, blind, DEAD):
        poster.see(view)
    assert [change for change in poster.see(FINE) if change.alert.rule == "dead"]
    await poster.deliver(1)
    assert [each for each in receiver.changes() if each[1] == "dead"] == [
        ("raised", "dead", "q"), ("over", "dead", "q"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_what_is_refused_is_repeated_and_told_once(
    status: int, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "FIRST_PAUSE", 0.01)
    receiver.answers = [status] * 3
    poster, said = poster_to(receiver)
    poster.see(DEAD)
    with trio.fail_after(WITHIN):
        await poster.deliver()
    assert receiver.changes() == [("raised", "dead", "q")]
    assert said == [
        f"alerts were not accepted by 127.0.0.1: it answered {status}; it is repeated until it is accepted",
        "alerts are delivered again",
    ]
    assert receiver.answers == []


async def test_it_gives_up_after_so_many_tries(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "FIRST_PAUSE", 0.01)
    receiver.answers = [500] * 9
    poster, _ = poster_to(receiver)
    poster.see(DEAD)
    with pytest.raises(NotPosted) as refused:
        await poster.deliver(2)
    assert len(receiver.answers) == 7
    assert "secret" not in str(refused.value)


async def test_a_receiver_that_is_not_there_is_named_without_its_path() -> None:
    with receiving() as receiver:
        poster, _ = poster_to(receiver)
    poster.see(DEAD)
    with pytest.raises(NotPosted, match=r"^alerts could not be sent to 127\.0\.0\.1: ") as refused:
        await poster.deliver(1)
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(poster)


async def test_looking_goes_on_while_the_receiver_is_silent(receiver: Receiver) -> None:
    receiver.go_on.clear()
    poster, _ = poster_to(receiver)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poster.run)
        for view in (DEAD, FINE, fleet(workers=(worker(stuck=("q/t",)),))):
            poster.see(view)
            await trio.testing.wait_all_tasks_blocked()
        assert receiver.bodies == []
        receiver.go_on.set()
        with trio.fail_after(WITHIN):
            while len(receiver.changes()) < 3:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert receiver.changes() == [
        ("raised", "dead", "q"), ("over", "dead", "q"), ("raised", "stuck", "w"),
    ]  # fmt: skip


async def test_the_oldest_changes_are_given_up_when_there_are_too_many(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(posting, "CHANGES_MAX", 3)
    receiver.answers = [500]
    poster, said = poster_to(receiver)
    for view in (DEAD, FINE) * 3:
        poster.see(view)
    await poster.deliver()
    assert [each[0] for each in receiver.changes()] == ["over", "raised", "over"]
    assert said[-1] == "alerts are delivered again; 3 changes were given up"


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://h/", "http://", "https:///path", "http://h:x/", "http://h/ a", "file:///x"],
)
def test_what_is_no_url_of_a_receiver_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--post must be a URL like https://host/path$"):
        check_post_url(url)
    assert check_post_url("https://h:1/x?y=z") == "https://h:1/x?y=z"
