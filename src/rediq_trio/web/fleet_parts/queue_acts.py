"""What can be done to a queue: pause, resume, flush, limits, targets. Each asks on a page of its own."""

from __future__ import annotations

from typing import Any

from rediq_trio.observe.words import count, counted, duration, read_duration, share, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.limits import UNSET, QueueLimits, Rate
from rediq_trio.values.task import QueueStats
from rediq_trio.web.fleet_parts.asking import Field, ask
from rediq_trio.web.site.page import Act, Done, NotFound, Refused, Right, Shown, Undo, Visit

QUEUES_NAV = "/queues"
LIMIT_HINT = "a whole number, or nothing for no limit"


async def _known(visit: Visit) -> tuple[str, QueueStats]:
    """Return the queue of the path with its numbers, read now; raise `NotFound` if there is none."""
    name = visit.params["queue"]
    if name not in await visit.client.queues():
        raise NotFound(f"there is no queue {shown(name, 128)}", "It may have been removed.")
    return name, await visit.client.queue(name).stats()


def _path(name: str) -> str:
    return f"/queues/{name}"


async def ask_pause(visit: Visit) -> Shown:
    """Ask why a queue is to be paused."""
    name, stats = await _known(visit)
    why = (
        "Nothing of it is claimed until it is resumed; "
        f"{counted(stats.pending, 'pending task waits', 'pending tasks wait')}."
    )
    if stats.active:
        why += f" {counted(stats.active, 'task that runs goes', 'tasks that run go')} on."
    fields = [Field(
        name="reason", label="Why", most=1000, value=stats.paused_reason,
        hint="kept until it is resumed, and shown to whoever looks",
    )]  # fmt: skip
    question = f"Pause {name}?" if not stats.paused else f"Change why {name} is paused?"
    return ask(visit, question, why, "Pause", nav=QUEUES_NAV, otherwise=_path(name), fields=fields)


async def pause(visit: Visit) -> Done:
    """Pause a queue."""
    name, _ = await _known(visit)
    reason = (visit.form.get("reason") or "").strip()
    await visit.client.queue(name).pause(reason, visit.visitor.name)
    undo = Undo(path=f"{_path(name)}/resume", word="Resume")
    return Done(said=f"Paused {name}.", to=visit.back(_path(name)), undo=undo)


async def ask_resume(visit: Visit) -> Shown:
    """Ask whether a queue is to be resumed."""
    name, stats = await _known(visit)
    why = f"{counted(stats.pending, 'pending task')} can be claimed at once."
    return ask(visit, f"Resume {name}?", why, "Resume", nav=QUEUES_NAV, otherwise=_path(name))


async def resume(visit: Visit) -> Done:
    """Resume a queue."""
    name, _ = await _known(visit)
    await visit.client.queue(name).resume()
    return Done(said=f"Resumed {name}.", to=visit.back(_path(name)))


async def ask_flush(visit: Visit) -> Shown:
    """Ask for the queue's name before all of its tasks are deleted."""
    name, stats = await _known(visit)
    tasks = _tasks(stats)
    active = (
        f", the {counted(stats.active, 'one that runs', 'that run')} too: what they finish is refused"
        if stats.active
        else ""
    )
    why = f"Removes {_all(tasks)} in one step{active}. Its kinds of failure are forgotten. This cannot be undone."
    fields = [Field(name="name", label=f"Type {name} to go on", needed=True, most=128)]
    note = f"To keep them, save them to a file first: rediq task export {name} FILE"
    return ask(
        visit, f"Flush {name}?", why, f"Flush {counted(tasks, 'task')}", nav=QUEUES_NAV,
        otherwise=_path(name), fields=fields, note=note, hard=True,
    )  # fmt: skip


def _tasks(stats: QueueStats) -> int:
    return sum(getattr(stats, state.value) for state in State)


def _all(tasks: int) -> str:
    return "its one task" if tasks == 1 else f"all {count(tasks)} tasks of the queue"


async def flush(visit: Visit) -> Done:
    """Delete all tasks of a queue, if its name was typed."""
    name, _ = await _known(visit)
    typed = (visit.form.get("name") or "").strip()
    if typed != name:
        what = f"{shown(typed, 80)} was typed" if typed else "nothing was typed"
        raise Refused(
            f"the queue's name has to be typed, {name}, and {what}", "Go back, and type it."
        )
    gone = await visit.client.queue(name).flush()
    return Done(
        said=f"Flushed {name}: {counted(gone, 'task')} deleted.", to=visit.link(_path(name))
    )


async def ask_limit(visit: Visit) -> Shown:
    """Show the limits of a queue, or of one of its keys, to be changed."""
    name, _ = await _known(visit)
    limits = await visit.client.queue(name).limits()
    key = (visit.query.get("key") or "").strip()
    own = limits.keys.get(key) if key else None
    concurrency = (own.concurrency if own else None) if key else limits.concurrency
    found_rate = (own.rate if own else None) if key else limits.rate
    fields = [
        Field(name="concurrency", label="At once", value=str(concurrency or ""), most=12, hint=LIMIT_HINT),
        Field(
            name="rate", label="Starts", value=_rate_text(found_rate), most=40, placeholder="100/1m",
            hint="how many in which time, like 100/1m; nothing for any number",
        ),
    ]  # fmt: skip
    if key:
        fields.append(
            Field(name="key", label="Limit key", value=key, most=256, hint="* for each other key")
        )
        question, why = (
            f"Limit a key of {name}?",
            "The limit holds for all tasks with this limit key together.",
        )
    else:
        fields += _whole_fields(limits)
        question, why = (
            f"Limit {name}?",
            "Limits hold across all workers, from the next claim on; what runs goes on.",
        )
    return ask(
        visit, question, why, "Set the limits", nav=QUEUES_NAV, otherwise=_path(name), fields=fields
    )


def _whole_fields(limits: QueueLimits) -> list[Field]:
    return [
        Field(
            name="max_pending", label="Pending at most", value=str(limits.max_pending or ""), most=12,
            hint="with more, enqueues are refused; nothing for any number",
        ),
        Field(
            name="fair_by", label="Turns", value=limits.fair_by or "",
            choices=(("", "by priority and age"), ("limit_key", "limit keys take turns")),
        ),
        Field(
            name="key", label="For a limit key only", most=256,
            hint="nothing for the whole queue; * for each key without a limit",
        ),
    ]  # fmt: skip


def _rate_text(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate.count}/{rate.per:g}s"


async def set_limit(visit: Visit) -> Done:
    """Set the limits of a queue, or of one of its keys."""
    name, _ = await _known(visit)
    form = visit.form
    key = (form.get("key") or "").strip() or None
    changes: dict[str, Any] = {}
    if "concurrency" in form:
        changes["concurrency"] = whole_number("At once", form["concurrency"])
    if "rate" in form:
        changes["rate"] = rate_of(form["rate"])
    if key is None:
        if "max_pending" in form:
            changes["max_pending"] = whole_number("Pending at most", form["max_pending"])
        if "fair_by" in form:
            changes["fair_by"] = form["fair_by"] or None
    if not changes:
        raise Refused("no limit was named", "Go back, and fill one in.")
    await visit.client.queue(name).limit(key=key, **changes)
    what = name if key is None else f"the limit key {shown(key, 60)} of {name}"
    return Done(said=f"Set the limits of {what}.", to=visit.back(_path(name)))


def whole_number(label: str, text: str) -> int | None:
    """Return a whole number from 1 on, or None for nothing; raise `Refused` for something else."""
    text = text.strip().replace(",", "").replace("\u202f", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 12) or not int(text):
        raise Refused(
            f"{label} must be a whole number from 1 on, or nothing, not {shown(text, 40)}",
            "Go back, and change it.",
        )
    return int(text)


def rate_of(text: str) -> Rate | None:
    """Return the rate that a text like "100/1m" says, None for nothing; raise `Refused` for another."""
    text = text.strip()
    if not text:
        return None
    number, _, period = text.partition("/")
    try:
        if not (number.isascii() and number.strip().isdecimal() and len(number) <= 12):
            raise ValueError
        return Rate(
            int(number), per=read_duration(period if period[:1].isdigit() else f"1{period or 's'}")
        )
    except (ValueError, OverflowError):
        raise Refused(
            f"Starts must be like 100/1m, not {shown(text, 40)}", "Go back, and change it."
        ) from None


async def ask_targets(visit: Visit) -> Shown:
    """Show what is expected of a queue, to be changed."""
    name, stats = await _known(visit)
    latency, failures = stats.targets.latency, stats.targets.failures
    fields = [
        Field(
            name="latency", label="A pending task waits at most", most=20, placeholder="30s",
            value="" if latency is None else f"{latency:g}s", hint="like 30s or 5m; nothing for no target",
        ),
        Field(
            name="failures", label="Attempts that may fail", most=20, placeholder="1%",
            value="" if failures is None else share(failures).replace(" ", ""),
            hint="a share like 1%; nothing for no target",
        ),
    ]  # fmt: skip
    why = "Targets hold nothing back: when one is missed, there is an alert."
    return ask(
        visit,
        f"What is expected of {name}?",
        why,
        "Set the targets",
        nav=QUEUES_NAV,
        otherwise=_path(name),
        fields=fields,
    )


async def set_targets(visit: Visit) -> Done:
    """Set what is expected of a queue."""
    name, _ = await _known(visit)
    form = visit.form
    latency = latency_of(form["latency"]) if "latency" in form else UNSET
    failures = share_of(form["failures"]) if "failures" in form else UNSET
    found = await visit.client.queue(name).targets(latency=latency, failures=failures)
    said = [] if found.latency is None else [f"a wait of {duration(found.latency)}"]
    said += [] if found.failures is None else [f"{share(found.failures)} of failures"]
    words = " and ".join(said) or "nothing"
    return Done(said=f"Expected of {name}: {words}.", to=visit.back(_path(name)))


def latency_of(text: str) -> float | None:
    """Return the seconds of a duration, None for nothing; raise `Refused` for another text."""
    try:
        return read_duration(text) if text.strip() else None
    except ValueError:
        raise Refused(
            f"a wait must be like 30s or 5m, not {shown(text.strip(), 40)}",
            "Go back, and change it.",
        ) from None


def share_of(text: str) -> float | None:
    """Return the share that a text like "1%" or "0.01" says, None for nothing; raise `Refused` for another."""
    text = text.strip()
    if not text:
        return None
    number, mark, rest = text.partition("%")
    try:
        if (
            rest.strip()
            or not number.strip().replace(".", "", 1).isdecimal()
            or not number.isascii()
        ):
            raise ValueError
        return float(number) / 100 if mark else float(number)
    except ValueError:
        raise Refused(
            f"a share must be like 1% or 0.01, not {shown(text, 40)}", "Go back, and change it."
        ) from None


ACTS: tuple[Act, ...] = (
    Act("/queues/{queue}/pause", pause, ask_pause, Right.ACT),
    Act("/queues/{queue}/resume", resume, ask_resume, Right.ACT),
    Act("/queues/{queue}/flush", flush, ask_flush, Right.CHANGE),
    Act("/queues/{queue}/limit", set_limit, ask_limit, Right.CHANGE),
    Act("/queues/{queue}/targets", set_targets, ask_targets, Right.CHANGE),
)
