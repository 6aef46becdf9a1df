"""Two people at once, a form that is sent twice, and pages that outlive the server that sent them."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from playwright.sync_api import Browser, expect

import rediq_trio as rediq
from rediq_trio import Task, TaskHandle
from tests.browser.stage import (
    WITHIN,
    NewContext,
    Stage,
    find_chromium,
    opened_context,
    served,
    watch,
)

pytestmark = pytest.mark.slow

SOON = WITHIN * 1000
NOT_LOOPBACK = "page.example.test"
"""A name for which browsers have no locks over plain HTTP, as for any host but this machine."""


def with_client(stage: Stage, work: Callable[[rediq.Client], Awaitable[str]]) -> str:
    """Call a function with a client of the stage."""

    async def call() -> str:
        async with rediq.connect(stage.url, key_prefix=stage.prefix) as client:
            return await work(client)

    return trio.run(call)


def enqueued(stage: Stage, queue: str) -> str:
    """Enqueue a task that no worker runs; return its id."""

    async def work(client: rediq.Client) -> str:
        task: Task[object] = Task("t", queue=queue)
        return (await client.enqueue(task)).id

    return with_client(stage, work)


def test_of_two_people_who_cancel_a_task_the_second_is_told_that_it_is_done(
    new_context: NewContext, stage: Stage
) -> None:
    task = enqueued(stage, "together")
    contexts = [new_context() for _ in range(2)]
    tabs = [watch(context) for context in contexts]
    for tab in tabs:
        tab.go(f"{stage.site}/tasks/{task}/cancel")
    for tab, said in zip(tabs, ("Cancelled", "Not cancelled: .* is cancelled"), strict=True):
        tab.page.get_by_role("button", name="Cancel the task").click()
        expect(tab.page.locator("#toast")).to_contain_text(re.compile(said), timeout=SOON)
    assert [line for tab in tabs for line in tab.heard] == []


def test_a_form_that_is_sent_twice_acts_once(new_context: NewContext, stage: Stage) -> None:
    task = enqueued(stage, "twice")

    async def cancel(client: rediq.Client) -> str:
        handle: TaskHandle[object] = client.task(task)
        return str(await handle.cancel())

    with_client(stage, cancel)
    context = new_context()
    tab = watch(context)
    tab.go(f"{stage.site}/tasks/{task}/again")
    body = tab.page.evaluate(
        "async () => { const form = document.querySelector('main form');"
        "const body = () => new URLSearchParams(new FormData(form));"
        "const send = () => fetch(location.href, {method: 'POST', body: body()});"
        "return [(await send()).url, (await send()).url]; }"
    )
    assert len(set(body)) == 1  # all lead to the one task that there is now

    async def count(client: rediq.Client) -> str:
        return str((await client.queue("twice").stats()).pending)

    assert with_client(stage, count) == "1"
    assert tab.heard == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_page_that_is_open_while_its_server_is_started_again_goes_on(
    new_context: NewContext, stage: Stage
) -> None:
    port = str(free_port())
    enqueued(stage, "kept-open")
    context = new_context()
    tab = watch(context)
    with served(stage.url, stage.prefix, "--write", "--port", port) as (site, child):
        tab.go(site + "/queues/kept-open/pause")  # a question, and a page
        other = watch(context)
        other.go(site + "/queues")
        expect(other.page.locator("#live.on")).to_be_visible(timeout=SOON)
        child.send_signal(signal.SIGTERM)
        child.wait(WITHIN)
        expect(other.page.locator("#live")).to_contain_text("server away", timeout=SOON)
        with served(stage.url, stage.prefix, "--write", "--port", port):
            enqueued(stage, "came-meanwhile")
            expect(other.page.locator("#live.on")).to_be_visible(timeout=SOON)
            expect(other.page.locator("main")).to_contain_text("came-meanwhile", timeout=SOON)
            # The question of before is answered by the one that runs now.
            tab.page.locator("main .sheet form button").click()
            expect(tab.page.locator("#toast")).to_contain_text("Paused", timeout=SOON)
    lost = "Failed to load resource"  # which the browser says of a server that is away
    assert [line for each in (tab, other) for line in each.heard if lost not in line] == []


def test_a_question_about_many_tasks_is_asked_anew_after_a_restart(
    new_context: NewContext, stage: Stage
) -> None:
    port = str(free_port())
    context = new_context()
    tab = watch(context)
    with served(stage.url, stage.prefix, "--write", "--port", port) as (site, child):
        tab.go(site + "/queues/emails/dead/retry?all=match")
        child.send_signal(signal.SIGTERM)
        child.wait(WITHIN)
        with served(stage.url, stage.prefix, "--write", "--port", port):
            tab.page.locator("main .sheet form button").click()
            expect(tab.page.locator("main")).to_contain_text("Nothing was changed", timeout=SOON)


def test_over_plain_http_without_locks_tabs_share_a_stream(browser: Browser, stage: Stage) -> None:
    token = "a-token-of-more-than-sixteen"
    arguments = [f"--host-resolver-rules=MAP {NOT_LOOPBACK} 127.0.0.1"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with served(stage.url, stage.prefix, REDIQ_WEB_TOKEN=token) as (site, _):
        site = site.replace("127.0.0.1", NOT_LOOPBACK)
        other = browser.browser_type.launch(executable_path=find_chromium(), args=arguments)
        with opened_context(
            other, extra_http_headers={"Authorization": f"Bearer {token}"}
        ) as context:
            tabs = [watch(context) for _ in range(2)]
            for tab in tabs:
                tab.go(site + "/schedules")
                assert tab.page.evaluate("navigator.locks === undefined") is True
            for tab in tabs:
                expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
                at = tab.page.inner_text("#live .at")
                expect(tab.page.locator("#live .at")).not_to_have_text(at, timeout=SOON)
            # A header that browsers heed over HTTPS only, and say so.
            ignored = "Cross-Origin-Opener-Policy header has been ignored"
            assert [line for tab in tabs for line in tab.heard if ignored not in line] == []
        other.close()
