"""The fingerprint of a failure: equal for two that most likely have one cause, and one fix.

It is made of what stays the same: the type of the task, the type of the error, the innermost function
of the user's code, and the message without what differs from task to task. A place is a module
and a function without a line number, so that an edit above it does not make a known failure new; two
lines of one function that raise the same error with the same message are one kind.

The message of an error is the user's own, and may be anything: how much of it is looked at is bounded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from types import TracebackType

from rediq_trio.handlers.module_names import module_name
from rediq_trio.tasks.failure_kinds import FailureSample
from rediq_trio.wire.packing import pack
from rediq_trio.worker.outcomes.traceback_text import is_own_frame

KIND_LENGTH = 12
"""Characters of a fingerprint: with 500 kinds, two get the same one once in two billion queues."""
SAMPLE_TEXT = 400
"""Maximum bytes of a sample's message; of its other texts half as many."""
MESSAGE_MAX = 1000
"""Characters of a message that are looked at, at most: some 10 ms of the worst text."""
NORMALIZED_MAX = 500
"""Maximum characters of a message that count, once what differs is replaced."""

_VARYING = re.compile(
    r"""(?P<text>(?<!\w)(?P<quote>['"`])(?:\\.|(?!(?P=quote))[^\\])*+(?:(?P=quote)(?!\w)|\Z))
    |\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b      # a uuid
    |\b0[xX][0-9a-fA-F]++|\b(?=[a-fA-F]*+[0-9])[0-9a-fA-F]{8,}+\b  # hex
    |\b(?=[^\W\d]*+\d)\w{16,}+                                   # an id or a token
    |[-+]?\d++(?:[.,:]\d++)*+(?:[eE][-+]?\d++)?+                  # a number""",
    re.VERBOSE | re.DOTALL,
)
_REPEATED = re.compile(r"(<(?:text|#)>)(?:[\s,;]*+\1)+")
_SPACE = re.compile(r"\s++")


def fingerprint(sample: FailureSample) -> str:
    """Return the fingerprint of a failure, `KIND_LENGTH` hexadecimal digits."""
    cut = shortened(sample)
    message = normalized(sample.message).encode("utf-8", "replace")
    packed = pack([cut.type, cut.error_type, cut.place, message])
    return hashlib.sha256(packed).hexdigest()[:KIND_LENGTH]


def normalized(message: str) -> str:
    """Return a message with `<#>` for its numbers, hex and ids, and `<text>` for its quoted texts.

    A list of these counts as one, however long it is. A quote that is not closed goes to the
    end, as the message may have been cut.
    """
    text = _VARYING.sub(_name, message[:MESSAGE_MAX])
    return _SPACE.sub(" ", _REPEATED.sub(r"\1", text)).strip()[:NORMALIZED_MAX]


def _name(found: re.Match[str]) -> str:
    return "<text>" if found["text"] is not None else "<#>"


def shortened(sample: FailureSample) -> FailureSample:
    """Return a sample whose texts are cut to what is kept of them."""
    return FailureSample(
        _start(sample.type, SAMPLE_TEXT // 2),
        _start(sample.error_type, SAMPLE_TEXT // 2),
        _start(sample.message, SAMPLE_TEXT),
        _start(sample.place, SAMPLE_TEXT // 2),
    )


def _start(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def place_of(error: BaseException | None, own: Collection[str]) -> str:
    """Return module and function of the innermost frame of the user's code; empty if there is none.

    `own` names packages that are the user's although they are installed like a library.
    """
    try:
        return _place_of(None if error is None else error.__traceback__, own)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # SystemExit too: the globals of a frame are the user's, and may be any mapping.
        return ""


def _place_of(trace: TracebackType | None, own: Collection[str]) -> str:
    place = ""
    while trace is not None:
        frame = trace.tb_frame
        if is_own_frame(frame, own):
            place = f"{module_name(frame.f_globals)}:{frame.f_code.co_qualname}"
        trace = trace.tb_next
    return place
