"""The page of a change of many tasks that is under way, or over."""

from __future__ import annotations

from rediq_trio.observe.words import counted, duration
from rediq_trio.web.site.page import Act, Done, NotFound, Page, Right, Shown, Visit
from rediq_trio.web.site.work import BulkWork, stop, work_of, works_of
from rediq_trio.web.task_parts.bulk import BULK_VERBS, said_of


def _known(visit: Visit) -> BulkWork:
    found = work_of(visit.shared, visit.params["work"])
    if found is None:
        raise NotFound(
            "this work is not known: it ended long ago, or the page was started again since",
            "What was done is in the audit.",
        )
    return found


async def show_work(visit: Visit) -> Shown:
    """Show how far a change of many tasks is."""
    work = _known(visit)
    verb = BULK_VERBS[work.question.verb]
    left = work.seconds_left
    took = ((work.ended or visit.now) - work.began).total_seconds()
    values = {
        "work": work, "verb": verb, "said": said_of(work), "left": None if left is None else duration(left),
        "took": duration(max(0.0, took)), "pace": work.done / took if took > 0.2 else 0.0,
        "may_stop": work.ended is None and visit.may(verb.need),
    }  # fmt: skip
    return Shown(template="work.html", title=work.question.title, nav="/dead", values=values)


async def show_works(visit: Visit) -> Shown:
    """Show the changes of many tasks that this process knows, the newest first."""
    works = [*reversed(works_of(visit.shared))]
    return Shown(template="works.html", title="Work", nav="/audit", values={"works": works})


async def stop_work(visit: Visit) -> Done:
    """Stop a change of many tasks."""
    work = _known(visit)
    if work.question.who != visit.visitor.name and not visit.may(Right.CHANGE):
        return Done(
            said="Not stopped: somebody else began it.",
            to=visit.link(f"/bulk/{work.id}"),
            failed=True,
        )
    stop(work, visit.visitor.name)
    await work.over.wait()
    done = counted(work.done, "task")
    return Done(
        said=f"Stopped: {done} had been changed by then.", to=visit.link(f"/bulk/{work.id}")
    )


PAGES: tuple[Page, ...] = (Page("/bulk", show_works), Page("/bulk/{work}", show_work))
ACTS: tuple[Act, ...] = (Act("/bulk/{work}/stop", stop_work),)
