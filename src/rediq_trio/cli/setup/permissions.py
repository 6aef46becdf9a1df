"""Rights: which of those that a worker needs a user has, seen by using each.

A user may not read its own ACL, so each command is tried, on a key of its own that does not exist.
Redis looks at the rights before it carries a command out. The commands are in one script, which
removes the key again in the same step: they read or remove nothing, or have arguments that are
refused, but for one that writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any, cast

from rediq_trio._errors import ServerRefused, StoreError
from rediq_trio.cli.setup.diagnosis import Diagnosis, ok, wrong
from rediq_trio.store.redis.connection.gateway import Gateway

_TRIED: Mapping[str, str] = MappingProxyType({
    "exists": "", "hdel": "f", "hexists": "f", "hget": "f", "hgetall": "", "hincrby": "f x",
    "hkeys": "", "hlen": "", "hmget": "f", "hscan": "0", "hset": "f v g", "hstrlen": "f", "pttl": "",
    "smembers": "", "srem": "m", "type": "", "xadd": "x f v", "xrange": "- +",
    "xrevrange": "+ -", "xtrim": "MAXLEN 0",
    "zadd": "x m", "zcard": "", "zcount": "-inf +inf", "zlexcount": "- +", "zrange": "0 0",
    "zrangebylex": "- +", "zrangebyscore": "-inf +inf", "zrank": "m", "zrem": "m",
    "zremrangebylex": "- +", "zremrangebyrank": "0 0", "zremrangebyscore": "-inf +inf",
    "zrevrangebylex": "+ -", "zscan": "0", "zscore": "m", "unlink": "",
    # From here on, keys are written: only if the one before is there, which removes them.
    "hsetnx": "f v", "sadd": "m",
})  # fmt: skip
"""The arguments with which each command is tried, after its key."""
_DIRECT: Mapping[str, tuple[Any, ...]] = MappingProxyType({
    "info": (b"INFO", b"server"), "ping": (b"PING",), "time": (b"TIME",),
    "scan": (b"SCAN", b"0", b"COUNT", b"1"),
})  # fmt: skip
READER_COMMANDS = frozenset({
    "info", "ping", "eval", "evalsha", "exists", "hexists", "hget", "hgetall", "hkeys", "hlen", "hmget",
    "hscan", "hstrlen", "pttl", "scan", "smembers", "time", "type", "xrange",
    "xrevrange", "zcard", "zcount",
    "zlexcount", "zrange", "zrangebylex", "zrangebyscore", "zrank", "zrevrangebylex", "zscan", "zscore",
})  # fmt: skip
"""The commands that suffice to look at everything."""
WORKER_COMMANDS = frozenset({*_TRIED, *_DIRECT, "eval", "evalsha", "publish", "subscribe"})
"""The commands that a worker needs; docs/security.md has them in a line for Redis."""

_SCRIPT = """
local denied, removes = {}, true
for line in string.gmatch(ARGV[1], '[^;]+') do
    local words = {}
    for word in string.gmatch(line, '%S+') do
        words[#words + 1] = word
    end
    local name = table.remove(words, 1)
    if removes or (name ~= 'hsetnx' and name ~= 'sadd') then
        local reply = redis.pcall(name, KEYS[1], unpack(words))
        if type(reply) == 'table' and reply['err'] then
            denied[#denied + 1] = name .. ' ' .. reply['err']
            removes = removes and name ~= 'unlink'
        end
    end
end
local sent = redis.pcall('publish', ARGV[2], '')
if type(sent) == 'table' and sent['err'] then
    denied[#denied + 1] = 'publish ' .. sent['err']
end
if removes then
    redis.pcall('unlink', KEYS[1])
end
return denied
"""
"""Returns what was answered with an error, each with its command. Of no use beside a user's rights:
commands with wrong arguments are answered with one too."""
_DENIAL = re.compile("NOPERM|ACL failure|executing the script|permissions to")
_OF_COMMAND = re.compile("can't run this command|permissions to run")


async def look_at_rights(gateway: Gateway, listener: Gateway, prefix: str, queue: str) -> Diagnosis:
    """Try each right, for one queue; `listener` is of no use for anything else afterwards."""
    own, shared = f"{prefix}:{{{queue}}}:doctor", f"{prefix}/{{{queue}}}"
    tried = ";".join(f"{name} {arguments}" for name, arguments in _TRIED.items())
    commands: dict[str, tuple[Gateway, tuple[Any, ...]]] = {
        "evalsha": (gateway, (b"EVALSHA", b"0" * 40, 1, own.encode())),
        "subscribe": (listener, (b"SUBSCRIBE", own)),
        "eval": (gateway, (b"EVAL", _SCRIPT, 1, own.encode(), tried, own)),
        **{name: (gateway, command) for name, command in _DIRECT.items()},
    }
    missing: set[str] = set()
    for name, (sender, command) in commands.items():
        reply, denial = await _send(sender, own, *command)
        if denial:
            missing.add(_right(name, denial, prefix, ":"))
        for line in cast("list[bytes]", reply or []) if name == "eval" else []:
            inner, _, said = line.decode("utf-8", "replace").partition(" ")
            if _DENIAL.search(said):
                missing.add(_right(inner, said, prefix, ":"))
    _, denial = await _send(gateway, shared, b"EVAL", "return 1", 1, shared.encode())
    if denial:
        missing.add(_right("eval", denial, prefix, "/"))
    return judge_rights(missing, prefix)


async def _send(gateway: Gateway, key: str, *command: Any) -> tuple[Any, str]:
    """Send a command; return the reply, and in what words Redis denied it, "" if it did not."""
    try:
        return await gateway.call(*command, key=key.encode()), ""
    except ServerRefused as error:
        return None, error.reply if _DENIAL.search(error.reply) else ""
    except StoreError:  # it refuses the arguments, which are wrong
        return None, ""


def _right(command: str, denial: str, prefix: str, mark: str) -> str:
    """Return the right that is missing, as `ACL SETUSER` takes it."""
    if _OF_COMMAND.search(denial):
        return f"+{command}"
    if "channel" in denial:
        return f"&{prefix}:*"
    return f"~{prefix}{mark}*" if "key" in denial else f"+{command}"


def judge_rights(missing: Set[str], prefix: str) -> Diagnosis:
    """Return the line about the rights that a user lacks."""
    if not missing:
        return ok("rights", "all that a worker needs")
    named = " ".join(sorted(missing))
    text = f"missing: {named}"
    if not missing - {f"+{command}" for command in WORKER_COMMANDS - READER_COMMANDS}:
        text += " (it may look at everything, but neither work nor enqueue)"
    next_step = f"ACL SETUSER USER {named}; docs/security.md has the whole line"
    if f"~{prefix}:*" in missing:
        next_step += ". More may be missing: run this again then. For a user of one queue, name it with --queue"
    return wrong("rights", text, next_step)
