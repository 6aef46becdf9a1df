"""Pictures of workflows: nothing missing, nothing twice, and safe whatever the names are."""

from __future__ import annotations

import re
import time
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio import ConfigError, State, Task
from rediq_trio.workflow.build import Node, Workflow, chain, gather
from rediq_trio.workflow.layout import MAX_BENDS, Layout, lay_out
from rediq_trio.workflow.picture import PURGED, STATE_LOOKS

SVG = "{http://www.w3.org/2000/svg}"
TASKS: list[Task[Any]] = [Task(name) for name in "abc"]
A, B, C = TASKS
NASTY = [
    'say "hi"',
    "<b>&amp;</b>",
    "#35;",
    "end",
    "1. one",
    "- two",
    "`x`",
    "]-->[",
    "日本語",
    "%%{x}",
]

texts = st.text(
    st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40
).filter(str.isprintable)


@st.composite
def workflows(draw: st.DrawFn) -> Workflow[Any]:
    workflow = Workflow()
    for name in draw(st.lists(texts, min_size=1, max_size=12, unique=True)):
        before = (
            draw(st.lists(st.sampled_from(workflow.nodes), unique=True)) if len(workflow) else []
        )
        workflow.add(A, name, after=before)
    return workflow


def boxes(svg: str) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    groups = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    found = {group.findtext(f"{SVG}title") or "": group for group in groups}
    assert len(found) == len(groups)
    return found


def paths(svg: str) -> int:
    (group,) = [
        g for g in ElementTree.fromstring(svg) if g.get("stroke") and g.get("fill") == "none"
    ]
    return len(group)


@given(workflows())
def test_mermaid_has_every_node_and_every_edge_once(workflow: Workflow[Any]) -> None:
    lines = workflow.mermaid().splitlines()
    names = [node.name for node in workflow.nodes]
    edges = [re.fullmatch(r"    n(\d+) --> n(\d+)", line) for line in lines]
    nodes = [re.fullmatch(r'    n(\d+)\["([^"]*)"\]', line) for line in lines]
    assert lines[0] == "graph TD"
    assert [(number, found[1]) for number, found in enumerate(f for f in nodes if f)] == [
        (number, str(number)) for number in range(len(names))
    ]
    shown = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), f[2]) for f in nodes if f]
    assert shown == names
    found = [(names[int(edge[1])], names[int(edge[2])]) for edge in edges if edge]
    assert sorted(found) == sorted(workflow.links)
    assert len(lines) == 1 + len(names) + len(workflow.links)


@given(workflows())
def test_an_svg_has_every_node_once_by_its_name(workflow: Workflow[Any]) -> None:
    drawn = boxes(workflow.svg())
    assert drawn.keys() == {node.name for node in workflow.nodes}


@given(workflows())
def test_boxes_do_not_overlap_and_lines_go_from_box_to_box_within_the_picture(
    workflow: Workflow[Any],
) -> None:
    layout = laid_out(workflow)
    places = list(layout.boxes.values())
    for number, (left, top, width, height) in enumerate(places):
        assert 0 <= left <= left + width <= layout.width
        assert 0 <= top <= top + height <= layout.height
        for x, y, other_width, other_height in places[:number]:
            apart = (
                left + width <= x + 0.01
                or x + other_width <= left + 0.01
                or top + height <= y
                or y + other_height <= top
            )
            assert apart
    assert {(line.before, line.after) for line in layout.lines} == set(workflow.links)
    for line in layout.lines:
        left, top, width, height = layout.boxes[line.before]
        assert line.points[0] == pytest.approx((left + width / 2, top + height))
        left, top, width, height = layout.boxes[line.after]
        assert line.points[-1] == pytest.approx((left + width / 2, top))


def laid_out(workflow: Workflow[Any]) -> Layout:
    needs: dict[str, list[str]] = {node.name: [] for node in workflow.nodes}
    for before, after in workflow.links:
        needs[after].append(before)
    return lay_out(needs, dict.fromkeys(needs, (90.0, 30.0)), gap=(20.0, 10.0), between=40.0)


def test_wide_layers_go_to_the_right() -> None:
    wide = laid_out(gather(*[A] * 40, then=B))
    assert not wide.down
    assert wide.width < wide.height
    assert laid_out(chain(*[A] * 40)).down


def test_a_line_goes_around_the_boxes_between() -> None:
    workflow = chain(A, B, C)
    workflow.link("a", "c")
    layout = laid_out(workflow)
    (line,) = [line for line in layout.lines if (line.before, line.after) == ("a", "c")]
    left, top, width, height = layout.boxes["b"]
    for x, y in line.points[1:-1]:
        assert top <= y <= top + height
        assert not left <= x <= left + width


def test_many_that_wait_for_the_same_many_are_drawn_through_one_joint() -> None:
    few = chain(gather(A, A), gather(B, B))
    assert paths(few.svg()) == len(few.links) == 4
    many = chain(gather(*[A] * 10), gather(*[B] * 12))
    assert len(many.links) == 120
    assert paths(many.svg()) == 22
    assert many.svg().count("<circle") == 1
    assert many.mermaid().count("-->") == 120


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_as_it_is_whatever_it_means_to_the_format(name: str) -> None:
    workflow = Workflow("<&>")
    workflow.add(A, name)
    root = ElementTree.fromstring(workflow.svg({name: "dead"}))
    assert root.findtext(f"{SVG}title") == "<&>"
    (group,) = boxes(workflow.svg({name: "dead"})).values()
    assert [text.text for text in group.iter(f"{SVG}text")] == [name, "dead"]
    label = workflow.mermaid().splitlines()[1]
    assert not re.search(r'["<>`{}%\[\]]', label.removeprefix('    n0["').removesuffix('"]'))


def test_what_a_list_would_begin_with_is_escaped() -> None:
    workflow = Workflow()
    workflow.add(A, "1. one")
    workflow.add(A, "- two")
    assert '"1#46; one"' in workflow.mermaid()
    assert '"#45; two"' in workflow.mermaid()


def test_a_long_name_is_cut_in_its_box_and_whole_in_its_title() -> None:
    name = "package.module:" + "function_" * 10 + "17"
    workflow = Workflow()
    workflow.add(A, name)
    (group,) = boxes(workflow.svg()).values()
    assert group.findtext(f"{SVG}title") == name
    shown = group.findtext(f"{SVG}text") or ""
    assert len(shown) <= 32
    assert shown.endswith("17")


@pytest.mark.parametrize("state", [*State, None])
def test_every_state_has_colours_in_both_pictures(state: State | None) -> None:
    workflow = chain(A, B)
    word = PURGED if state is None else state.value
    text = workflow.mermaid({"a": state})
    assert f'n0["a"]:::{word}\n' in text
    assert 'n1["b"]\n' in text
    assert text.count("classDef") == 1
    assert f"classDef {word} fill:{STATE_LOOKS[word].ground}" in text
    svg = workflow.svg({"a": state})
    assert boxes(svg).keys() == {f"a: {word}", "b"}
    assert STATE_LOOKS[word].ground in svg


def test_states_that_there_are_not_are_refused() -> None:
    for draw in (chain(A).mermaid, chain(A).svg):
        with pytest.raises(ConfigError, match="no node 'b'"):
            draw({"b": "dead"})
        with pytest.raises(ConfigError, match=r"states\['a'\]='gone': must be a state or None"):
            draw({"a": "gone"})
        with pytest.raises(ConfigError, match="must be a state or None"):
            draw({"a": ["dead"]})  # type: ignore[dict-item]


def test_an_svg_needs_nothing_from_elsewhere() -> None:
    svg = chain(A, B).svg({"a": "dead"})
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"href|script|@import|url\(", svg)
    assert "prefers-color-scheme: dark" in svg


def scattered(size: int, needs: int) -> Workflow[Any]:
    workflow = Workflow()
    nodes: list[Node] = []
    for place in range(size):
        before = [nodes[(place * 7919 + n * 31) % place] for n in range(needs) if place]
        nodes.append(workflow.add(A, after=before))
    return workflow


def test_a_thousand_nodes_are_drawn_in_a_second() -> None:
    for workflow in (
        scattered(1000, 3),
        chain(*[A] * 1000),
        gather(*[A] * 999, then=B),
        chain(gather(*[A] * 500), gather(*[B] * 500)),
    ):
        begin = time.process_time()
        svg = workflow.svg()
        assert time.process_time() - begin < 1
        assert len(boxes(svg)) == 1000


def test_lines_go_straight_once_there_are_too_many_bends() -> None:
    layout = laid_out(scattered(1000, 4))
    assert sum(len(line.points) > 2 for line in layout.lines) > 0
    workflow = chain(*[A] * 200)
    for before in range(1, 100):
        workflow.link(workflow.nodes[before], workflow.nodes[199])
    layout = laid_out(workflow)
    bends = {(line.before, point) for line in layout.lines for point in line.points[1:-1]}
    assert 0 < len(bends) <= 2 * MAX_BENDS
    assert len(layout.lines) == len(workflow.links)
