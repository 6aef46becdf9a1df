"""`rediq completion`: a script by which a shell completes commands, flags and choices.

The scripts are made from the parsers, so they never disagree with `--help`, and they are whole: to
complete a word, no Python has to start. What the values of a flag are is known if it has choices;
elsewhere the shell completes names of files.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import attrs

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.statuses import DONE

PROGRAM = "rediq"


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Print a script that completes commands, flags and choices. For bash: "
        'eval "$(rediq completion bash)"',
    )
    parser.add_argument("shell", choices=[*_SHELLS], help="the shell that is to read it")
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    from rediq_trio.cli.main import make_parser  # this command is one of its commands

    sys.stdout.write(_SHELLS[arguments.shell](list(levels_of(make_parser()))))
    return DONE


@attrs.frozen
class Word:
    """A word that may come next, with its line of help."""

    text: str
    help: str


@attrs.frozen
class FlagWords:
    """A flag as it may be given, in its spellings."""

    spellings: tuple[str, ...]
    help: str
    takes_value: bool
    """Whether the next word is certainly its value."""
    choices: tuple[str, ...]
    """The values that it takes, if there are few."""


@attrs.frozen
class CommandLevel:
    """What may be typed after a command, or after its verb."""

    path: str
    """The words before it, like `rediq queue list`."""
    commands: tuple[Word, ...]
    flags: tuple[FlagWords, ...]
    choices: tuple[str, ...]
    """Arguments that must be one of a few words."""

    @property
    def words(self) -> list[str]:
        """Every word that may come next."""
        spelled = [spelling for flag in self.flags for spelling in flag.spellings]
        return [word.text for word in self.commands] + list(self.choices) + spelled


def levels_of(parser: argparse.ArgumentParser, path: str = PROGRAM) -> Iterator[CommandLevel]:
    """Yield what may be typed after a parser's command, and after each command below it."""
    below: Mapping[str, argparse.ArgumentParser] = {}
    commands: list[Word] = []
    flags: list[FlagWords] = []
    choices: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = cast("Mapping[str, argparse.ArgumentParser]", action.choices)
            helps = {each.dest: each.help for each in action._choices_actions}
            commands += [Word(name, _line(helps.get(name))) for name in below]
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            flags.append(_flag(action))
        else:
            choices += map(str, action.choices or ())
    yield CommandLevel(path, tuple(commands), tuple(flags), tuple(choices))
    for name, child in below.items():
        yield from levels_of(child, f"{path} {name}")


def _flag(action: argparse.Action) -> FlagWords:
    return FlagWords(
        tuple(action.option_strings), _line(action.help),
        action.nargs not in (0, "?", "*"),
        tuple(map(str, action.choices or ())),
    )  # fmt: skip


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").split())


def bash_script(levels: Sequence[CommandLevel]) -> str:
    """Return the script for bash."""
    paths = " | ".join(f'"{level.path}"' for level in levels[1:])
    words = "\n".join(
        f'        "{level.path}") words={shlex.quote(" ".join(level.words))} ;;' for level in levels
    )
    return _filled(
        _BASH, PATHS=paths, WORDS=words,
        VALUES=_values(levels, lambda chosen: f"words={shlex.quote(' '.join(chosen))}"),
    )  # fmt: skip


def _values(levels: Sequence[CommandLevel], offer: Callable[[Sequence[str]], str]) -> str:
    """Return the branches for the values of flags: those with choices, and all others."""
    branches: list[str] = []
    for level in levels:
        free: list[str] = []
        for flag in level.flags:
            patterns = [f'"{level.path} {spelling}"' for spelling in flag.spellings]
            if flag.choices:
                branches.append(f"        {' | '.join(patterns)}) {offer(flag.choices)} ;;")
            elif flag.takes_value:
                free += patterns
        if free:
            branches.append(f"        {' | '.join(free)}) return ;;")
    return "\n".join(branches)


def zsh_script(levels: Sequence[CommandLevel]) -> str:
    """Return the script for zsh, with a line of help for each word."""
    paths = " | ".join(f'"{level.path}"' for level in levels[1:])
    words = "\n".join(
        f'        "{level.path}")\n            items=(\n'
        + "".join(f"                {item}\n" for item in _zsh_items(level))
        + "            ) ;;"
        for level in levels
    )

    def offer(chosen: Sequence[str]) -> str:
        return f"compadd -- {shlex.join(chosen)}; return"

    values = _values(levels, offer).replace(") return ;;", ") _files; return ;;")
    return _filled(_ZSH, PATHS=paths, WORDS=words, VALUES=values)


def _zsh_items(level: CommandLevel) -> Iterator[str]:
    for word in level.commands:
        yield shlex.quote(f"{word.text}:{word.help}")
    yield from map(shlex.quote, level.choices)
    for flag in level.flags:
        for spelling in flag.spellings:
            yield shlex.quote(f"{spelling}:{flag.help}")


def fish_script(levels: Sequence[CommandLevel]) -> str:
    """Return the script for fish."""
    paths = " ".join(shlex.quote(level.path) for level in levels[1:])
    lines: list[str] = []
    for level in levels:
        begin = f"complete -c {PROGRAM} -n '__rediq_at \"{level.path}\"'"
        for word in level.commands:
            lines.append(f"{begin} -f -a {word.text} -d {_fish(word.help)}")
        if level.choices:
            lines.append(f"{begin} -f -a {_fish(' '.join(level.choices))}")
        for flag in level.flags:
            spelled = " ".join(
                f"-l {text[2:]}" if text.startswith("--") else f"-s {text[1:]}"
                for text in flag.spellings
            )
            value = f" -x -a {_fish(' '.join(flag.choices))}" if flag.choices else " -r"
            takes = value if flag.takes_value else ""
            lines.append(f"{begin} {spelled}{takes} -d {_fish(flag.help)}")
    return _filled(_FISH, PATHS=paths, WORDS="\n".join(lines))


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _filled(template: str, **parts: str) -> str:
    for name, part in parts.items():
        template = template.replace(f"@{name}@", part)
    return template.lstrip("\n")


_BASH = r"""
# rediq's completion for bash: eval "$(rediq completion bash)"
_rediq() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} at=rediq words= i
    # In bash, = is a word of its own.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
        @PATHS@) at="$at ${COMP_WORDS[i]}" ;;
        esac
    done
    COMPREPLY=()
    case "$at $prev" in
@VALUES@
        *)
            case $at in
@WORDS@
            esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _rediq rediq
"""
_ZSH = r"""
#compdef rediq
# rediq's completion for zsh: a file _rediq of fpath, or eval "$(rediq completion zsh)"
_rediq() {
    local at=rediq previous=${words[CURRENT - 1]} i
    local -a items
    # --flag=value is one word in zsh.
    if [[ ${words[CURRENT]} == --*=* ]]; then
        previous=${words[CURRENT]%%=*}
        compset -P '*='
    fi
    for ((i = 2; i < CURRENT; i++)); do
        case "$at ${words[i]}" in
        @PATHS@) at="$at ${words[i]}" ;;
        esac
    done
    case "$at $previous" in
@VALUES@
    esac
    case $at in
@WORDS@
    esac
    _describe rediq items || _files
}
if [[ $funcstack[1] == _rediq ]]; then
    _rediq "$@"
else
    compdef _rediq rediq
fi
"""
_FISH = r"""
# rediq's completion for fish: rediq completion fish | source
function __rediq_at
    set -l at rediq
    for word in (commandline -opc)[2..]
        if contains -- "$at $word" @PATHS@
            set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
@WORDS@
"""
_SHELLS: Mapping[str, Callable[[Sequence[CommandLevel]], str]] = MappingProxyType(
    {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
)
