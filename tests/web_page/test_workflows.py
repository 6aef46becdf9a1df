from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, Workflow
from rediq_trio.store.port import Store
from rediq_trio.web.drawing.graph import DrawnNode, draw_graph, lay_out_graph
from rediq_trio.web.site.page import Right
from tests.web_page.visiting import visiting

HOSTILE = "<script>alert(1)</script>"
app = rediq.App()


@app.task("good", queue="etl")
async def good() -> None: ...


@app.task("bad", queue="etl", max_retry=0)
async def bad() -> None:
    raise ValueError(HOSTILE)


async def failed(store: Store) -> str:
    """Enqueue a workflow of which a part has failed; return its id."""
    flow = Workflow("nightly")
    first = flow.add(good.task(), HOSTILE)
    dead = flow.add(bad.task(), "load", after=first)
    flow.add(good.task(), "publish", after=dead)
    async with rediq.connect(store) as client:
        handle = await client.enqueue(flow)
        async with rediq.serve(app, store, queues=["etl"]):
            await handle.wait(timeout=30)
        return handle.id


async def test_workflows_are_listed_the_newest_first_and_by_state() -> None:
    store = MemoryStore()
    await failed(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        nameless = await client.enqueue(rediq.chain(good.task(), good.task()))
        text = (await browser.get("/workflows")).text
        unnamed = f'<span class="mono">{nameless.id}</span></a>'
        assert text.index(unnamed) < text.index("<b>nightly</b>")
        assert "0 of 2" in text
        dead = (await browser.get("/workflows?state=dead")).text
        assert "nightly" in dead
        assert unnamed not in dead
        assert "No workflow is gone." in (await browser.get("/workflows?state=gone")).text
        for wrong in ("state=odd", "after=x"):
            assert (await browser.get(f"/workflows?{wrong}")).status_code == 404
        assert "No older workflows." in (await browser.get("/workflows?after=0")).text


async def test_more_than_a_page_of_workflows_is_paged() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        for number in range(51):
            flow = Workflow(f"flow-{number}")
            flow.add(good.task())
            await client.enqueue(flow)
        first = (await browser.get("/workflows")).text
        assert "flow-50" in first
        assert "<b>flow-0</b>" not in first
        older = re.search(r'href="([^"]*after=[^"]*)" rel="next"', first)
        assert older is not None
        assert "<b>flow-0</b>" in (await browser.get(older[1].replace("&amp;", "&"))).text


async def test_without_workflows_the_page_says_what_one_is() -> None:
    async with visiting() as browser:
        assert "No workflow yet" in (await browser.get("/workflows")).text
        missing = await browser.get("/workflows/0123")
        assert missing.status_code == 404
        assert "There is no workflow 0123." in missing.text


async def test_a_workflow_says_where_it_failed_and_lights_the_branch() -> None:
    store = MemoryStore()
    name = await failed(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        text = (await browser.get(f"/workflows/{name}")).text
        assert "Failed at <a" in text
        assert "after 1 of 1 attempt: ValueError: &lt;script&gt;" in text
        assert "1 of 3 completed, 2 dead" in text
        assert text.count('class="lit"') == 1  # from load to publish
        assert "<script>alert" not in text
        rows = re.findall(r'<td class="full"><a href="/tasks/[^"]*">([^<]*)</a>', text)
        assert rows == ["load", "publish", "&lt;script&gt;alert(1)&lt;/script&gt;"]
        (task_link,) = re.findall(r'Failed at <a href="([^"]*)"', text)
        handle = await client.workflow(name)
        assert task_link == f"/tasks/{handle.handles['load'].id}"


async def test_a_workflow_is_retried_and_cancelled_after_a_question() -> None:
    store = MemoryStore()
    name = await failed(store)
    async with rediq.connect(store) as client, visiting(Right.ACT, source=client) as browser:
        path = f"/workflows/{name}"
        assert "Retry 2 tasks of the workflow nightly?" in (await browser.get(path + "/retry")).text
        refused = await browser.get(path + "/cancel")
        assert refused.status_code == 400
        assert "Nothing to cancel in the workflow nightly" in refused.text
        await browser.post(path + "/retry")
        assert "2 tasks ready again." in (await browser.get(path)).text
        handle = await client.workflow(name)
        assert (await handle.states())["load"] is State.PENDING
        assert "Cancel 2 tasks of the workflow" in (await browser.get(path + "/cancel")).text
        await browser.post(path + "/cancel")
        assert "2 tasks cancelled." in (await browser.get(path)).text
        assert (await handle.states())["publish"] is State.CANCELLED


async def test_of_a_workflow_whose_tasks_are_gone_the_page_says_so() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        handle = await client.enqueue(rediq.chain(good.task(), good.task()))
        for each in handle.handles.values():
            await each.delete()
        text = (await browser.get(f"/workflows/{handle.id}")).text
        assert "None of its tasks is left" in text
        assert text.count(">gone<") >= 2


async def test_a_graph_of_more_than_500_nodes_is_a_list() -> None:
    flow = Workflow("big")
    for number in range(501):
        flow.add(good.task(), f"n{number}")
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        handle = await client.enqueue(flow)
        text = (await browser.get(f"/workflows/{handle.id}")).text
        assert 'class="dag"' not in text
        assert "a graph is drawn of up to 500" in text
        assert text.count("<tr>") == 502


@pytest.mark.parametrize("lit", [True, False])
def test_each_node_and_link_of_a_graph_is_drawn_once(lit: bool) -> None:
    names = [f"a{n}" for n in range(6)]
    needs: dict[str, list[str]] = {name: [] for name in names}
    needs |= {f"b{n}": names for n in range(6)}
    nodes = {
        name: DrawnNode(state="dead", words=HOSTILE, href=f"/tasks/{name}", lit=lit, here=name == "a0")
        for name in needs
    }
    drawing = draw_graph(lay_out_graph(needs), nodes)
    root = ElementTree.fromstring(drawing)
    assert len(root.findall("a")) == 12
    assert sum(link.get("href") == "/tasks/a3" for link in root.findall("a")) == 1
    assert sum("here" in (group.get("class") or "") for group in root.iter("g")) == 1
    paths = root.findall("path")
    assert len(paths) == 13  # to and from a junction, and the junction
    assert all((path.get("class") == "lit") is lit for path in paths)
    assert "<script>" not in drawing


def test_a_node_that_is_gone_has_no_link() -> None:
    drawing = draw_graph(lay_out_graph({"a": []}), {"a": DrawnNode(state="gone", words="gone", href="")})
    assert "<a " not in drawing
    assert 'class="node plain"' in drawing
