"""Write what the documentation takes from the code: `python -m docs.generate`.

A page holds blocks between `<!-- generated: name -->` and `<!-- end -->`; each is
written anew from the code, and nothing else of the page is touched. Between
`<!-- program: path -->` and `<!-- end -->` stands a file of the repository. `--check`
changes nothing, and fails when a block or a picture is not what it would be now.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from docs import (
    alert_tables,
    command_line,
    grafana_board,
    invariants,
    layer_picture,
    lua_loading,
    lua_reference,
    measured,
    metric_tables,
    output_schema,
    programs,
    prometheus_rules,
    readme_links,
    reference,
    scaling_picture,
    state_picture,
    workflow_example,
)

HERE = Path(__file__).resolve().parent

BLOCKS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "mermaid": lambda: f"```text\n{state_picture.mermaid()}\n```",
        "states": reference.states,
        "transitions": reference.transitions,
        "constants": reference.constants,
        "options": reference.options,
        "backoffs": reference.backoffs,
        "settings": reference.settings,
        "errors": reference.errors,
        "values": reference.values,
        "api": reference.api,
        "other_clients": reference.other_clients,
        "signals": reference.signals,
        "invariants": invariants.table,
        "commands": command_line.commands,
        "common_flags": command_line.common,
        "alerts": command_line.alerts,
        "alert_steps": alert_tables.steps,
        "alert_queries": alert_tables.queries,
        "records": alert_tables.records,
        "panels": alert_tables.panels,
        "keys": lua_reference.keys,
        "lua_constants": lua_reference.lua_constants,
        "record": lua_reference.record,
        "scripts": lua_reference.scripts,
        "lua_loaded": lua_loading.loaded,
        "peers": measured.peers,
        "scaling": measured.scaling,
        "links": readme_links.addresses,
        "rates": measured.rates,
        "operate": measured.operate,
        "attempt_metrics": metric_tables.attempts,
        "worker_metrics": metric_tables.worker,
        "store_metrics": metric_tables.store,
        "queue_metrics": metric_tables.queues,
        "workflow": lambda: f"```text\n{workflow_example.mermaid()}```",
    }
)
"""What can stand between the marks of a page."""

PICTURES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "images/layers.svg": layer_picture.svg,
        "images/scaling.svg": scaling_picture.svg,
        "images/state-machine.svg": state_picture.svg,
        "images/workflow.svg": workflow_example.svg,
        "reference/output.schema.json": output_schema.text,
    }
)

FILES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "examples/deploy/prometheus-rules.yml": prometheus_rules.text,
        "examples/deploy/grafana-board.json": grafana_board.text,
    }
)
"""What is generated as a whole, by its path in the repository."""

_BLOCK = re.compile(r"<!-- (generated|program): ([\w/.-]+) -->\n.*?<!-- end -->", re.DOTALL)


def filled(page: str) -> str:
    """Give a page with its blocks as they should be now."""

    def block(found: re.Match[str]) -> str:
        kind, name = found.groups()
        if kind == "program":
            text = programs.program(name)
        elif name in BLOCKS:
            text = BLOCKS[name]().strip()
        else:
            raise SystemExit(f"no block is named {name!r}; there are {', '.join(BLOCKS)}")
        return f"<!-- {kind}: {name} -->\n\n{text}\n\n<!-- end -->"

    return _BLOCK.sub(block, page)


def wanted() -> dict[Path, str]:
    """Give every file that is generated, or holds what is, as it should be now."""
    files = {HERE / name: draw() for name, draw in PICTURES.items()}
    files |= {HERE.parent / name: make() for name, make in FILES.items()}
    pages = (HERE.parent / "README.md", HERE.parent / "lua" / "README.md")
    for path in (*sorted(HERE.rglob("*.md")), *pages):
        page = path.read_text("utf-8")
        if _BLOCK.search(page):
            files[path] = filled(page)
    return files


def stale() -> list[str]:
    """Name the files that are not as they should be now."""
    return [
        str(path.relative_to(HERE.parent))
        for path, text in wanted().items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]


def main() -> int:
    """Write the files, or with `--check` say which are out of date."""
    if sys.argv[1:] not in ([], ["--check"]):
        print("usage: python -m docs.generate [--check]", file=sys.stderr)
        return 2
    names = stale()
    if sys.argv[1:]:
        for name in names:
            print(f"{name} is out of date: run python -m docs.generate", file=sys.stderr)
        return 1 if names else 0
    for path, text in wanted().items():
        if str(path.relative_to(HERE.parent)) in names:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
