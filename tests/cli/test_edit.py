"""`rediq task edit`, with real editors, against a real server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.values.task import TaskInfo
from tests.cli.conftest import Place
from tests.cli.test_operate import HOSTILE, Typed, put, state_of, stats_of, task, typed, work
from tests.cli.test_terminal import terminal

__all__ = ["typed"]

PAYLOAD: Mapping[str, Any] = {
    "big": 2**64 - 1, "small": -(2**63), "bytes": b"\x00\xff", "one": 1.0, "inf": float("inf"),
    "text": HOSTILE + "\U0001f600", "// no comment": None, "in": {"$odd": [True, 1]}, "tenth": 0.1,
}  # fmt: skip


@attrs.frozen
class Editors:
    """Makes editors: programs that change the text that they are called with."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def use(self, *programs: str) -> Path:
        """Use an editor that runs these programs on `text`, one each time; return what it has seen."""
        editor, seen = self.folder / "editor.py", self.folder / "seen"
        lines = [
            "import json, pathlib, sys",
            f"seen = pathlib.Path({str(seen)!r})",
            "path = pathlib.Path(sys.argv[1])",
            "text = path.read_text('utf-8')",
            "times = len(seen.read_text('utf-8').splitlines()) if seen.exists() else 0",
            "seen.open('a').write(json.dumps([str(path), oct(path.stat().st_mode), text]) + chr(10))",
            f"programs = {programs!r}",
            "names = {'text': text}",
            "exec(programs[times], names)",
            "path.write_text(names['text'], 'utf-8')",
        ]
        editor.write_text("\n".join(lines), "utf-8")
        self.monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
        return seen


@pytest.fixture
def editors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Editors:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Editors(tmp_path, monkeypatch)


def info_of(place: Place, task_id: str) -> TaskInfo:
    async def read() -> TaskInfo:
        async with place.client() as client:
            return await client.task(task_id).info()

    return trio.run(read)


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("rediq-edit-*/*"))


def replaced(old: str, new: str) -> str:
    return f"assert {old!r} in text, text; text = text.replace({old!r}, {new!r})"


def test_a_task_that_waits_is_changed_in_place(
    typed: Typed, editors: Editors, tmp_path: Path
) -> None:
    (one,) = put(typed.place, task(payload=PAYLOAD, delay=60, metadata={"a": HOSTILE}))
    before = info_of(typed.place, one)
    seen = editors.use("")
    said = typed("task", "edit", one)
    assert (said.status, said.out, said.err) == (0, "nothing was changed\n", "")
    assert info_of(typed.place, one) == before
    assert kept(tmp_path) == []
    path, mode, text = json.loads(seen.read_text("utf-8"))
    assert (Path(path).suffix, mode[-3:], text.count("// ")) == (".json", "600", 5)
    assert not {*"\x1b\u202e\x9b\u2028"} & {*text}
    assert "\U0001f600" in text
    seen.unlink()
    both = replaced('"priority": 50', '"priority": 7') + ";" + replaced('"one": 1.0', '"one": 1')
    editors.use(
        both + ";" + replaced('"backoff": null', '"backoff": {"kind": "fixed", "seconds": 5}')
    )
    said = typed("task", "edit", one, "--dry-run")
    assert (said.status, said.out) == (0, "")
    not_checked, would = said.err.splitlines()
    assert not_checked.endswith("was not checked: no live worker of emails said what good takes")
    assert would == f"would change payload, priority, backoff of {one}; nothing was changed"
    assert info_of(typed.place, one) == before
    seen.unlink()
    said = typed("task", "edit", one, "--json")
    assert said.objects == [
        {"rediq": 1, "id": one, "outcome": "changed: payload, priority, backoff"}
    ]
    after = info_of(typed.place, one)
    assert (after.priority, after.backoff, after.state) == (7, rediq.Fixed(5), before.state)
    assert type(after.payload["one"]) is int
    assert after.payload == PAYLOAD
    assert type(after.payload["in"]["$odd"][0]) is bool
    assert (after.timeout, after.retention, after.metadata) == (None, None, before.metadata)
    assert kept(tmp_path) == []


def test_a_task_that_has_ended_is_enqueued_anew_and_kept_or_replaced(
    typed: Typed, editors: Editors
) -> None:
    (one,) = put(typed.place, task("bad", payload={"text": "no"}, priority=7))
    work(typed.place, "emails")
    seen = editors.use("")
    assert typed("task", "edit", one).out == "nothing was changed\n"
    assert stats_of(typed.place, "emails").enqueued == 1
    seen.unlink()
    editors.use(replaced('"text": "no"', '"text": "yes"'))
    (found,) = typed("task", "edit", one, "--json").objects
    again = info_of(typed.place, found["new_id"])
    assert found["outcome"] == f"enqueued again as {again.id}"
    assert (again.state, again.payload, again.priority) == ("pending", {"text": "yes"}, 7)
    assert state_of(typed.place, one) == "dead"
    seen.unlink()
    editors.use(replaced('"text": "no"', '"text": "new"'))
    (found,) = typed("task", "edit", one, "--replace", "--json").objects
    new = info_of(typed.place, found["new_id"])
    assert found["outcome"] == f"replaced by {new.id}"
    assert (new.state, new.payload, new.priority) == ("pending", {"text": "new"}, 7)
    assert typed("task", "show", one).status == 3
    assert typed("check", "emails").status == 0


def test_the_second_of_two_who_edit_learns_what_changed_and_keeps_their_text(
    typed: Typed, editors: Editors, tmp_path: Path
) -> None:
    (one,) = put(typed.place, task(delay=60))
    flags = list(typed.place.flags)
    other = (
        "import os, subprocess; os.environ['VISUAL'] = 'sed -i s/50,$/9,/'\n"
        f"subprocess.run([sys.executable, '-m', 'rediq_trio', 'task', 'edit', {one!r}, *{flags!r}], "
        "check=True, stdout=2)\n"
    )
    editors.use("import sys\n" + other + replaced('"max_retry": 3', '"max_retry": 4'))
    said = typed("task", "edit", one)
    assert (said.status, said.out) == (1, "")
    assert "was changed since it was read: priority; read it again" in said.err
    (text,) = kept(tmp_path)
    assert f"what you wrote is kept in {text}" in said.err
    assert '"max_retry": 4' in text.read_text("utf-8")
    info = info_of(typed.place, one)
    assert (info.priority, info.max_retry) == (9, 3)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (replaced('"priority": 50,', '"priority": 50'), "no JSON at line "),
        (replaced('"priority": 50', '"priority": 101'), "priority=101: must be a whole number"),
        (replaced('"priority": 50', '"priority": 50, "priority": 1'), "priority is there twice"),
        (replaced('"priority"', '"priorty"'), "priorty: cannot be edited here; did you mean priority?"),
        (replaced('"priority"', r'"\u001b[2J"'), r"\x1b[2J: cannot be edited here"),
        (replaced('"payload": {}', '"payload": NaN'), 'write {"$float": "nan"}'),
        (replaced('"payload": {}', '"payload": {"$bytes": "?"}'), "payload: "),
        (replaced('"payload": {}', '"payload": {"$x": 1}'), "payload: there is no '$x'"),
        (replaced('"payload": {}', f'"payload": {2**64}'), "payload"),
        (replaced('"payload": {}', r'"payload": "\ud800"'), "payload"),
        (replaced('"payload": {}', '"payload": ' + "[" * 200_000), "nested too deeply"),
        (replaced('"timeout": null', '"timeout": -1'), "timeout=-1: must be"),
        (replaced('"expires": null', '"expires": "2020-01-01T00:00Z"'), "must be in the future"),
        (replaced('"backoff": null', '"backoff": {"kind": "x"}'), "backoff={'kind': 'x'}: must be like"),
        (replaced('"backoff": null', '"backoff": {"kind": "fixed"}'), "backoff: fixed has seconds"),
        ("text = '[]'", "no JSON object: the text must begin with {"),
        ("text = ''", "no JSON at line 1, column 1"),
    ],
)  # fmt: skip
def test_bad_text_is_named_kept_and_changes_nothing(
    edit: str, said: str, typed: Typed, editors: Editors, tmp_path: Path
) -> None:
    (one,) = put(typed.place, task(delay=60))
    before = info_of(typed.place, one)
    editors.use(edit)
    found = typed("task", "edit", one)
    assert (found.status, found.out) == (2, ""), found.err
    assert said in found.err
    assert "\x1b" not in found.err
    (text,) = kept(tmp_path)
    assert f"what you wrote is kept in {text}" in found.err
    assert info_of(typed.place, one) == before


def test_what_cannot_be_edited_is_said(
    typed: Typed, editors: Editors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (one,) = put(typed.place, task(delay=60))
    editors.use()
    status, line = typed.one_line("task", "edit", one, "--replace")
    assert (status, "is changed in place, and keeps its id" in line) == (2, True)
    assert typed.one_line("task", "edit", "emails/zz")[0] == 3
    for editor, status, said in (
        ("", 2, "there is no editor: set VISUAL or EDITOR"),
        ("a '", 2, "VISUAL=a ': No closing quotation"),
        ("/no/such/editor", 1, "cannot run the editor /no/such/editor: No such file"),
        ("false", 1, "the editor false ended with status 1"),
    ):
        monkeypatch.setenv("VISUAL", editor)
        monkeypatch.delenv("EDITOR", raising=False)
        found, line = typed.one_line("task", "edit", one)
        assert (found, said in line) == (status, True), line
    assert kept(tmp_path) == []
    assert info_of(typed.place, one).priority == 50


def test_what_replace_refuses_is_said_with_its_reason_before_the_editor_opens(
    typed: Typed, editors: Editors
) -> None:
    bad = rediq.Task("bad", queue="emails", max_retry=0)
    done, keyed = put(
        typed.place, task("good"), attrs.evolve(bad, unique=rediq.Unique(key="k"))
    )
    work(typed.place, "emails")
    (left,) = put(typed.place, attrs.evolve(bad, depends_on=(done,)))
    work(typed.place, "emails")
    seen = editors.use()
    for one, said in (
        (done, "is completed, and only a dead or cancelled task is replaced: its result is kept"),
        (keyed, r"has the unique key k: its unique key could not be held"),
        (left, "stays: what it depends on, or keeps of its steps, would be lost"),
    ):
        status, line = typed.one_line("task", "edit", one, "--replace")
        assert (status, said in line) == (2, True), line
        assert line.endswith("leave --replace out, and 'rediq task delete' it afterwards")
        assert state_of(typed.place, one) != "pending"
    assert not seen.exists()


def test_a_person_edits_again_what_was_wrong(cli_place: Place, editors: Editors) -> None:
    (one,) = put(cli_place, task(delay=60))
    editors.use(
        replaced('"priority": 50,', '"priority": 7'), replaced('"priority": 7', '"priority": 7,')
    )
    with terminal("task", "edit", one, *cli_place.flags) as shown:
        asked = shown.read_until("[Y/n] ")
        assert re.search(r"no JSON at line 8, column 3: .*Edit it again\? \[Y/n\] $", asked), asked
        shown.type("\n")
        status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, f"{one}: changed: priority")
    assert info_of(cli_place, one).priority == 7
