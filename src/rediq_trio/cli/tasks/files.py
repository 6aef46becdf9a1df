"""`rediq task export` and `import`: tasks of a queue in a file, and back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import QUEUE, Verbs
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.cli.tasks.filters import FILTER_FLAGS, filter_of
from rediq_trio.cli.tasks.selected import follow_steps
from rediq_trio.observe.words import count, counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.bounds import check_name

_NEW_FILE: tuple[str, dict[str, Any]] = (
    "file",
    {"metavar": "FILE", "help": "the file, which must not exist yet"},
)
_TASK_FILE: tuple[str, dict[str, Any]] = (
    "file",
    {"metavar": "FILE", "help": "a file that 'rediq task export' wrote"},
)


def add_files(verbs: Verbs) -> None:
    """Add the verbs that write tasks to a file, and enqueue those of a file."""
    verbs.add(
        "export", export_tasks, "write the tasks in one state to a file, or those that a filter chooses",
        QUEUE, _NEW_FILE,
        ("--state", {"choices": [s.value for s in State], "required": True, "help": "the state"}),
        *FILTER_FLAGS,
    )  # fmt: skip
    verbs.add(
        "import", import_tasks, "enqueue the tasks of a file with their ids", QUEUE, _TASK_FILE,
        changes=True,
    )  # fmt: skip


async def export_tasks(session: Session) -> int:
    options = session.arguments
    wanted, path = filter_of(options), _checked_path(options.file)
    name = await session.known(options.queue)
    selection = await session.client.queue(name).select(options.state, **wanted)
    with _naming(path, "write"):
        written = await selection.export(path)
    said = f"{counted(written, f'{options.state} task')} of {shown(name)} written to {shown(path)}"
    return session.done(said, queue=name, state=options.state, exported=written, file=path)


async def import_tasks(session: Session) -> int:
    """Enqueue the tasks of a file; return 1 if one of them was refused."""
    path, name = _checked_path(session.arguments.file), session.arguments.queue
    check_name("QUEUE", name)
    if not await session.agreed(f"enqueue the tasks of {shown(path)} in {shown(name)}"):
        return DONE
    with _naming(path, "read"):
        last = await follow_steps(
            session.client.queue(name).import_tasks(path),
            lambda step: f"{count(step.done)} enqueued",
        )
    done, refused = (last.done, last.refused) if last else (0, 0)
    said = f"{counted(done, 'task')} enqueued in {shown(name)}"
    session.done(said, queue=name, enqueued=done, refused=refused)
    if refused:
        some = counted(refused, "task")
        session.out.say(f"{some} refused: the id exists, or the unique key is taken")
    return FAILED if refused else DONE


def _checked_path(path: str) -> str:
    if path in ("", "-"):
        raise ConfigError.of("FILE", path, "the path of a file")
    return path


@contextmanager
def _naming(path: str, verb: str) -> Generator[None]:
    """Name the file in errors."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot {verb} {shown(path)}: {error.strerror or error}") from None
    except ConfigError as error:
        raise ConfigError(f"FILE {shown(path)}: {error}") from None
