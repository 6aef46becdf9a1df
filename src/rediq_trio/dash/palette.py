"""What each role looks like: in true colors on dark and on light ground, in 16 colors, and in none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rich.style import Style

from rediq_trio.spec.lifecycle import State

STATE_MARKS: Mapping[State, tuple[str, str]] = MappingProxyType(
    {
        State.SCHEDULED: ("◔", "S"), State.BLOCKED: ("◇", "B"), State.GROUPED: ("≡", "G"),
        State.PENDING: ("○", "P"), State.ACTIVE: ("▶", "A"), State.RETRY: ("↻", "R"),
        State.COMPLETED: ("✓", "C"), State.DEAD: ("✗", "D"), State.CANCELLED: ("⊘", "X"),
    }
)  # fmt: skip
"""The mark and the letter of each state, in the order in which they are shown."""
ASCII = str.maketrans(
    {
        "◔": "S", "◇": "B", "≡": "G", "○": "P", "▶": "A", "↻": "R", "✓": "C", "✗": "D", "⊘": "X",
        "▲": "!", "△": "!", "‖": "=", "─": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+",
        "▌": ">", "×": "x", "█": "#", "░": ".", "●": "*", "…": "~", "–": "-", "▏": "_", "→": ">",
        "▁": "_", "▂": ".", "▃": "-", "▄": "-", "▅": "=", "▆": "=", "▇": "#",
        "▎": ".", "▍": ".", "▋": "#", "▊": "#", "▉": "#",
    }
)  # fmt: skip
"""What stands for the marks where the terminal has no UTF-8."""

_ROLES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        # role: true color on dark ground, on light ground, 16 colors
        "scheduled": ("#b5a9ef", "#685a9a", "magenta"),
        "blocked": ("#eb92ce", "#92417a", "bright_magenta"),
        "grouped": ("#86d6ea", "#0b5c6c", "cyan"),
        "pending": ("#9db9d8", "#4b6682", ""),
        "active": ("#7bb0ff", "#0262d4", "bright_blue"),
        "retry": ("#f0b76a", "#945f00", "yellow"),
        "completed": ("#8ad8b0", "#1a7850", "green"),
        "dead": ("#fb8b80", "#b3141b", "bright_red"),
        "cancelled": ("#aca7a0", "#67635c", "bright_black"),
        "bad": ("bold #fb8b80", "bold #b3141b", "bold bright_red"),
        "warning": ("#f0b76a", "#945f00", "yellow"),
        "paused": ("#aca7a0", "#67635c", "bright_black"),
        "good": ("#8ad8b0", "#1a7850", "green"),
        "second": ("#c3bdb6", "#54514b", ""),
        "faint": ("#a49e97", "#6b6862", "bright_black"),
        "rule": ("#4d4843", "#c3bfb8", "bright_black"),
        "bar": ("#a3a7ff", "#4d3fc6", "bold"),
        "chosen": ("bold #a3a7ff", "bold #4d3fc6", "bold"),
        "strong": ("bold", "bold", "bold"),
        "tab": ("underline on #26231f", "underline on #f1efea", "reverse"),
        "environment": ("#ffffff on #a04a74", "#ffffff on #7a2e52", "reverse"),
        "box": ("on #26231f", "on #f1efea", ""),
        "button": ("bold reverse", "bold reverse", "bold reverse"),
    }
)  # fmt: skip
TEXT_ROLES = frozenset({"", *_ROLES})
"""Every role that a span may have."""
CURSOR_GROUND = ("on #232440", "on #ecedff", "reverse")
"""The ground of the cursor's row, in the order of the colors of a role."""


_BOLD = Style(bold=True)


class Palette:
    """The styles of one terminal."""

    def __init__(self, *, colors: str = "truecolor", light: bool = False) -> None:
        self._column = 2 if colors in ("none", "standard") else int(light)
        self._styles = {
            role: Style.parse(self._of(texts, plain=colors == "none"))
            for role, texts in _ROLES.items()
        }
        self._styles[""] = Style()
        self.cursor = Style.parse(CURSOR_GROUND[self._column])

    def _of(self, texts: tuple[str, str, str], *, plain: bool) -> str:
        text = texts[self._column]
        if not plain:
            return text
        words = [word for word in text.split() if word in ("bold", "reverse", "underline")]
        return " ".join(words)

    def style(
        self, role: str, *, cursor: bool = False, away: bool = False, changed: bool = False
    ) -> Style:
        """Return the style of a role.

        `cursor` in the cursor's row, `away` while Redis is away, `changed` for a number that has just changed.
        """
        if away and role not in ("bad", "tab", "environment", "button", "bar"):
            role = "faint"
        style = self._styles[role]
        if changed and not away:
            style += _BOLD
        return style + self.cursor if cursor else style
