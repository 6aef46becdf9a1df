"""The completion scripts, read by real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rediq_trio.cli.main import main, make_parser
from rediq_trio.cli.setup.completion import levels_of
from tests.cli.conftest import WITHIN, cli_call

BASH = shutil.which("bash")
ZSH = shutil.which("zsh")
FISH = shutil.which("fish")
needs_bash = pytest.mark.skipif(BASH is None, reason="bash is not on this machine")
needs_zsh = pytest.mark.skipif(ZSH is None, reason="zsh is not on this machine")
needs_fish = pytest.mark.skipif(FISH is None, reason="fish is not on this machine")

CASES = [
    ("rediq comp", ["completion"]),
    ("rediq queue pau", ["pause"]),
    ("rediq queue list --key", ["--key-prefix"]),
    ("rediq run --shutdown", ["--shutdown-grace"]),
    ("rediq run --log-level ", ["debug", "info", "warning", "error"]),
    ("rediq run --log-level wa", ["warning"]),
    ("rediq status --fail-on c", ["critical"]),
    ("rediq completion z", ["zsh"]),
    ("rediq task list --state ret", ["retry"]),
    ("rediq bench --json --ta", ["--tasks"]),
    ("rediq nothing-such que", []),
]
"""What is typed, and what may come then."""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    found: dict[str, Path] = {}
    for shell in ("bash", "zsh", "fish"):
        made = cli_call("completion", shell)
        assert (made.returncode, made.stderr) == (0, "")
        found[shell] = folder / f"rediq.{shell}"
        found[shell].write_text(made.stdout, "utf-8")
    return found


def run(program: str | None, script: str) -> str:
    assert program is not None
    found = subprocess.run(
        [program, "-c", script], capture_output=True, text=True, timeout=WITHIN, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


def completed_by_bash(script: Path, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    return run(BASH, f"""
        source {script}
        COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}
        _rediq
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """).split()  # fmt: skip


@needs_bash
@pytest.mark.parametrize(("typed", "words"), CASES)
def test_bash_completes(scripts: dict[str, Path], typed: str, words: list[str]) -> None:
    if "nothing-such" in typed:  # an unknown word leaves the level as it was
        words = ["queue"]
    assert completed_by_bash(scripts["bash"], *typed.split(" ")) == words


@needs_bash
def test_bash_completes_the_value_after_an_equals_sign(scripts: dict[str, Path]) -> None:
    before = ("rediq", "status", "--fail-on", "=")
    assert completed_by_bash(scripts["bash"], *before) == ["critical", "warn", "none"]
    assert completed_by_bash(scripts["bash"], *before, "w") == ["warn"]


@needs_bash
def test_bash_leaves_the_value_of_another_flag_to_the_names_of_files(
    scripts: dict[str, Path],
) -> None:
    assert completed_by_bash(scripts["bash"], "rediq", "history", "--output", "") == []
    # A flag whose value may be left out may be followed by another flag.
    assert "--json" in completed_by_bash(scripts["bash"], "rediq", "status", "--watch", "--")


@needs_bash
def test_bash_offers_every_command_and_every_flag(scripts: dict[str, Path]) -> None:
    seen = 0
    for level in levels_of(make_parser()):
        assert completed_by_bash(scripts["bash"], *level.path.split(), "") == level.words
        seen += len(level.words)
    assert seen > 200


def typed_in(
    program: str | None, flags: list[str], lines: list[str], typed: str, until: str
) -> str:
    """Type something into a shell in a terminal; return what the terminal showed until `until`."""
    assert program is not None
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            program, [program, *flags], {"PATH": "/usr/bin:/bin", "TERM": "dumb", "PS1": "$ "}
        )
    shown = ""
    try:
        give_up = time.monotonic() + WITHIN
        for line in [*lines, "echo rea''dy"]:
            os.write(terminal, line.encode() + b"\n")
        sent = False
        while until not in shown or not sent:
            assert time.monotonic() < give_up, shown
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 4096).decode("utf-8", "replace")
            if not sent and "\nready" in shown.replace("\r", ""):
                sent, shown = True, ""
                os.write(terminal, typed.encode())
        return shown
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


TYPED = [
    ("rediq comp\t", "rediq completion "),
    ("rediq queue pau\t", "rediq queue pause "),
    ("rediq run --shutdown\t", "rediq run --shutdown-grace "),
    ("rediq status --fail-on crit\t", "rediq status --fail-on critical "),
    ("rediq status --fail-on=crit\t", "rediq status --fail-on=critical "),
]
"""What is typed in a terminal, and what it becomes."""


@needs_bash
@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_bash_completes_in_a_terminal(scripts: dict[str, Path], typed: str, line: str) -> None:
    flags = ["--norc", "--noprofile", "-i"]
    typed_in(BASH, flags, [f"source {scripts['bash']}"], typed, line)


@needs_zsh
@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_zsh_completes_in_a_terminal(scripts: dict[str, Path], typed: str, line: str) -> None:
    lines = ["autoload -Uz compinit", "compinit -u -D", f"source {scripts['zsh']}"]
    typed_in(ZSH, ["-f", "-i"], lines, typed, line)


@needs_fish
@pytest.mark.parametrize(("typed", "words"), CASES)
def test_fish_completes(scripts: dict[str, Path], typed: str, words: list[str]) -> None:
    if "nothing-such" in typed:
        words = ["queue"]
    out = run(FISH, f"source {scripts['fish']}; complete -C '{typed}'")
    assert sorted(line.split("\t")[0] for line in out.splitlines()) == sorted(words)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_hidden_flags_are_in_no_script(scripts: dict[str, Path], shell: str) -> None:
    assert "stop-with-stdin" not in scripts[shell].read_text("utf-8")


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert "invalid choice: 'tcsh'" in capsys.readouterr().err
