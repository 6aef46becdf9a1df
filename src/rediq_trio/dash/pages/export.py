"""Export: the tasks of a selection are written to a file that `rediq task import` reads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rediq_trio._errors import ConfigError
from rediq_trio.client import Client
from rediq_trio.dash.question import Prompt
from rediq_trio.dash.seen import Seen
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.filters import FilterOptions


def ask_file(seen: Seen, queue: str, state: State, wanted: FilterOptions) -> None:
    """Ask for the path of a file that does not exist yet, then write the tasks to it."""

    def begin(text: str) -> None:
        if not text:
            seen.say("nothing was exported: no file was named", refused=True)
            return

        async def write(client: Client) -> str:
            seen.say(f"writing {shown(text)}. Esc stops")
            return await export_to(client, path, queue, state, wanted)

        path = Path(text).expanduser()
        seen.start(write)

    name = f"{queue}-{state.value}.jsonl"
    left = partial(seen.say, "nothing was exported")
    seen.prompt = Prompt(f"export {state.value} tasks to", name, begin, left=left)


async def export_to(
    client: Client, path: Path, queue: str, state: State, wanted: FilterOptions
) -> str:
    """Write the tasks that a filter chooses to a new file; return what was done."""
    selection = await client.queue(queue).select(state, **wanted)
    try:
        written = await selection.export(path)
    except OSError as error:
        why = f"cannot write {shown(str(path))}: {error.strerror or error}"
        raise ConfigError(why) from None
    except ConfigError as error:
        raise ConfigError(f"{shown(str(path))}: {error}") from None
    some = counted(written, f"{state.value} task")
    return f"wrote {some} of {shown(queue)} to {shown(str(path))}"
