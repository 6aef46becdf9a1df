"""What the loader of the scripts sends to Redis, shown on one short script."""

from __future__ import annotations

from rediq_trio.store.redis.scripts import load_scripts, lua_folder, script_paths

EXAMPLE = "expire"
"""A short script that uses constants, names of keys and comments."""


def loaded() -> str:
    """Return the code of the example as it is written and as it is sent, without what it includes."""
    written = script_paths(lua_folder())[EXAMPLE].read_text("utf-8").splitlines()
    code = [line for line in written if not line.startswith("--")]
    sent = load_scripts()[EXAMPLE].source.splitlines()[-len(code) :]
    parts = [
        f"`lua/{EXAMPLE}.lua`, below its header:",
        "\n".join(["```lua", *code, "```"]),
        "What Redis gets:",
        "\n".join(["```lua", *(line.rstrip() for line in sent), "```"]),
    ]
    return "\n\n".join(parts)
