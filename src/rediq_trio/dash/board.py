"""Board: what the terminal shows now, and what a key does to it. Its only owner is `run_dash`.

Keys change it at once; whatever needs Redis is handed to `start`, and its answer becomes a message or
a question.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.dash.pages.page import KeyAct, ScreenPage
from rediq_trio.dash.pages.tabs import TABS, first_page, page_of
from rediq_trio.dash.question import AskedQuestion, Prompt
from rediq_trio.dash.seen import Seen
from rediq_trio.observe.words import shown

LEAST = (80, 24)
"""The columns and lines below which nothing is shown."""


@attrs.define(eq=False, kw_only=True)
class Board(Seen):
    """Tabs with the pages opened in each, and what is typed, asked and said."""

    changed: Callable[[], None]
    """Is called when another page is shown, which has to be read."""
    copy: Callable[[str], None]
    """Copies text to the clipboard of the terminal."""
    stop: Callable[[], None] = lambda: None
    """Stops the act that goes on."""
    stacks: list[list[ScreenPage]] = attrs.field(
        factory=lambda: [[first_page(name)] for name in TABS]
    )
    """The pages that are open in each tab, the shown one last."""
    tab: int = 0
    help: bool = False
    left: bool = False
    """Whether the screen is to be left."""
    height: int = LEAST[1]

    @property
    def page(self) -> ScreenPage:
        """The page that is shown."""
        return self.stacks[self.tab][-1]

    def open(self, page: ScreenPage) -> None:
        """Show a page above the shown one."""
        self.stacks[self.tab].append(page)
        self.changed()

    def show_tab(self, number: int) -> None:
        """Show a tab; the shown one again closes what is open in it."""
        if number == self.tab:
            del self.stacks[number][1:]
        self.tab = number
        self.changed()

    def press(self, key: str, character: str | None = None) -> None:
        """Do what a key does: its name, and the character that it types, if any."""
        if key == "ctrl+c":
            self.left = True
        elif self.prompt is not None:
            self._type(self.prompt, key, character)
        elif self.question is not None:
            self._decide(self.question, key, character)
        elif self.help:
            self.help = False
        else:
            self.said = ""
            self._command(key, character or "")

    def paste(self, text: str) -> None:
        """Type the first line of a pasted text where a line is typed; elsewhere it is no keys."""
        if self.prompt is not None or (self.question is not None and self.question.named):
            for character in text.partition("\n")[0]:
                self.press(character, character)

    def _type(self, prompt: Prompt, key: str, character: str | None) -> None:
        if key == "escape":
            self.prompt = None
            prompt.left()
        elif key == "enter":
            self.prompt = None
            prompt.done(prompt.text.strip())
        elif key in ("backspace", "ctrl+h"):
            prompt.text = prompt.text[:-1]
        elif key == "ctrl+u":
            prompt.text = ""
        elif character is not None and character.isprintable():
            prompt.text += character
        if self.prompt is prompt:
            prompt.typed(prompt.text)

    def _ask_filter(self) -> None:
        page = self.page
        self.prompt = Prompt(
            "filter", page.filter, self._filter, left=lambda: self._filter(""),
            typed=self._filter if page.filters_names else lambda _: None,
        )  # fmt: skip

    def _filter(self, text: str) -> None:
        try:
            self.page.set_filter(text)
        except ConfigError as error:
            self.say(str(error), refused=True)
        else:
            self.changed()

    def _go(self, text: str) -> None:
        if not text:
            return
        try:
            found = page_of(text, self.view)
        except ConfigError as error:
            self.say(str(error), refused=True)
            return
        if found is None:
            self.say(f"there is no queue {shown(text, 40)}; a task is named queue/id", refused=True)
            return
        self.tab = found[0]
        self.open(found[1])

    def _decide(self, question: AskedQuestion, key: str, character: str | None) -> None:
        if question.named:
            yes = key == "enter" and question.typed == question.named
            if key in ("backspace", "ctrl+h"):
                question.typed = question.typed[:-1]
            elif key != "enter" and character is not None and character.isprintable():
                question.typed += character
            elif key == "enter" and not yes:
                self.say(f"type {shown(question.named, 40)}, or Esc", refused=True)
        else:
            yes = key in ("y", "enter")
        if yes:
            self.question = None
            self.page.chosen.clear()
            self.start(question.run)
        elif key == "escape" or (key == "n" and not question.named):
            self.question = None
            self.say("nothing was changed")

    def _command(self, key: str, character: str) -> None:
        page = self.page
        rows = page.shown_rows(self)
        page.was_moved = page.was_moved or bool(page.here(rows))
        act = next((each for each in page.acts(self) if each.key == character), None)
        moves = {"j": 1, "down": 1, "k": -1, "up": -1, "pagedown": self.height // 2,
                 "pageup": -(self.height // 2), "home": -len(rows), "end": len(rows)}  # fmt: skip
        if act is not None:
            self._act(act)
        elif key in moves:
            page.move(rows, moves[key])
        elif key in ("h", "left", "l", "right"):
            if page.sideways(1 if key in ("l", "right") else -1):
                self.changed()
        elif character.isdigit() and 1 <= int(character) <= len(TABS):
            self.show_tab(int(character) - 1)
        elif key == "enter":
            self._enter()
        elif key == "escape" or key == "q":
            self._back(leave=key == "q")
        elif character == "/":
            self._ask_filter()
        elif character == ":":
            self.prompt = Prompt("go to", "", self._go)
        elif character == "?":
            self.help = True
        elif character == ".":
            self.frozen = not self.frozen
            self.say("frozen: . goes on" if self.frozen else "")
        elif character == "y":
            self._copy()
        elif key == "space":
            page.choose(rows)
        elif character == "s":
            page.sort_next()
        elif character == "R" and self.away:
            self.changed()

    def _enter(self) -> None:
        if (found := self.page.enter(self)) is not None:
            self.open(found)

    def _back(self, *, leave: bool) -> None:
        self.stop()
        if self.page.filter and not leave:
            self._filter("")
        elif len(self.stacks[self.tab]) > 1:
            self.stacks[self.tab].pop()
            self.changed()
        elif leave:
            self.left = True

    def _copy(self) -> None:
        if (name := self.page.id_here(self)) is None:
            self.say("there is nothing to copy here", refused=True)
            return
        self.copy(name)
        self.say(f"copied {shown(name)}")

    def _act(self, act: KeyAct) -> None:
        if act.changes and self.read_only:
            self.say(f"{act.label}: refused, this screen is read-only", refused=True)
        elif act.changes and self.away:
            self.say(f"{act.label}: refused while Redis is away", refused=True)
        elif (found := act.begin(self)) is not None:
            self.open(found)

    def click(self, row: int) -> None:
        """Do what a click on a row of the table does: the first moves there, the second opens it."""
        if self.prompt is not None or self.question is not None or self.help:
            return
        rows = self.page.shown_rows(self)
        if not 0 <= row < len(rows):
            return
        if rows[row].key == self.page.here(rows):
            self._enter()
        else:
            self.page.cursor, self.page.was_moved = rows[row].key, True
