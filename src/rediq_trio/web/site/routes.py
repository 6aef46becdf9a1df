"""Which page or act a path belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs
from starlette.routing import compile_path

from rediq_trio.web.site.page import Act, Page


@attrs.frozen
class PathEntry:
    """What is at a path: a page, acts, or both."""

    pattern: re.Pattern[str]
    page: Page | None
    act: Act | None


class RouteTable:
    """All pages and acts, by their paths."""

    def __init__(self, pages: Iterable[Page], acts: Iterable[Act]) -> None:
        by_path = {page.path: page for page in pages}
        acting = {act.path: act for act in acts}
        # Those without a variable part first: "/queues/new" is no queue's page.
        paths = sorted(
            {*by_path, *acting}, key=lambda path: (path.count("{"), ":path" in path, path)
        )
        # The longest first among those that take any rest of a path: "/tasks/{id:path}/retry".
        paths.sort(key=lambda path: (":path" in path, -path.count("/") if ":path" in path else 0))
        self._routes = [
            PathEntry(compile_path(path)[0], by_path.get(path), acting.get(path)) for path in paths
        ]

    def find(self, path: str) -> tuple[PathEntry, Mapping[str, str]] | None:
        """Return what is at a path, with its variable parts; None if nothing is."""
        for route in self._routes:
            if found := route.pattern.match(path):
                return route, found.groupdict()
        return None


def path_within(path: str, base: str) -> str:
    """Return a path within the site, without the slash at its end.

    A proxy may leave the base path in it, or take it away.
    """
    inside = path.removeprefix(base) if path == base or path.startswith(base + "/") else path
    return inside.rstrip("/") or "/"
