"""Who did what through tools: the last 10,000 changes."""

from __future__ import annotations

import re

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.observe.words import counted
from rediq_trio.values.observed.audit import AuditEntry
from rediq_trio.web.site.page import Act, Page, Shown, Visit

ENTRIES_SHOWN = 50
"""Entries of one page."""
LOOKED_AT_MAX = 1_000
"""Entries that are looked at for one page, where a filter leaves some out."""
_WORDS = {"begun": "active", "done": "completed", "failed": "dead", "interrupted": "retry"}
_QUEUE = re.compile(r"[\w.:-]{1,128}(\[\d+\])?")


@attrs.frozen(kw_only=True)
class AuditLine:
    """One entry, with links."""

    entry: AuditEntry
    state: str
    """The state whose color and shape stand for the outcome."""
    about: tuple[tuple[str, str, str], ...]
    """Parts of the selection: name, value, and where it leads or ""."""


async def show(visit: Visit) -> Shown:
    """Show entries, the newest first, or those of one person or operation."""
    who, what = visit.query.get("who", "").strip(), visit.query.get("what", "").strip()
    after: str | None = visit.query.get("after") or None
    if after is not None and not re.fullmatch(r"\d{1,20}-\d{1,20}", after):
        raise ConfigError.of("after", after, "the id of an entry, as the link to older ones has it")
    found: list[AuditEntry] = []
    looked, last = 0, after
    while looked < LOOKED_AT_MAX and len(found) < ENTRIES_SHOWN:
        page = await visit.client.audit(limit=100, after=last)
        for entry in page:
            looked, last = looked + 1, entry.id
            if _matches(entry, who, what):
                found.append(entry)
                if len(found) == ENTRIES_SHOWN:
                    break
        if len(page) < 100:
            last = None if len(found) < ENTRIES_SHOWN or last == page[-1].id else last
            break
    people = sorted({entry.who for entry in found})
    values = {
        "lines": [_line_of(visit, entry) for entry in found],
        "who": who,
        "what": what,
        "people": people if not who else (),
        "looked": f"Looked at {counted(looked, 'entry', 'entries')}, found {len(found):,}.",
        "older": visit.here(after=last) if last is not None and last != after else "",
        "newest": visit.here(after=None) if after else "",
    }
    return Shown(template="audit.html", title="Audit", nav="/audit", values=values)


def _matches(entry: AuditEntry, who: str, what: str) -> bool:
    text = f"{entry.what} {' '.join(entry.selection.values())} {entry.detail}".lower()
    return (not who or entry.who == who) and (not what or what.lower() in text)


def _line_of(visit: Visit, entry: AuditEntry) -> AuditLine:
    about = tuple(
        (name, value, _link_of(visit, name, value)) for name, value in entry.selection.items()
    )
    return AuditLine(entry=entry, state=_WORDS.get(entry.outcome, "plain"), about=about)


def _link_of(visit: Visit, name: str, value: str) -> str:
    if name == "queue" and _QUEUE.fullmatch(value):
        return visit.link(f"/queues/{value}")
    if name in ("task", "id") and "/" in value and len(value) < 300 and " " not in value:
        return visit.link(f"/tasks/{value}")
    if name in ("worker", "worker_id") and " " not in value:
        return visit.link(f"/workers/{value}")
    return ""


PAGES: tuple[Page, ...] = (Page("/audit", show),)
ACTS: tuple[Act, ...] = ()
