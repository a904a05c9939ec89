"""JSON files of any size, one record at a time, in and out.

In goes a file; out come its top-level keys and the elements of the arrays named, in the file's order, so that a
file can be read and written again in constant memory. NaN, which Python writes and JSON forbids, is read. This
file does not know what the records mean.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from vda.errors import InputError
from vda.files import atomic_writer

# A record has some hundred characters: thousands of them in a block, and next to no memory.
_BLOCK_CHARS = 1 << 20
_WHITESPACE = re.compile(r"[ \t\r\n]*")
# Looks one character further: at the end of the window it is not known what comes after the comma.
_NEXT_ITEM = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=[^ \t\r\n])")
_DECODER = json.JSONDecoder()


class Event(NamedTuple):
    """``open`` and ``close`` of the top-level object; ``value``, a key with all that it holds; ``begin``, ``item``
    by ``item``, ``end`` of a streamed array (key None: a list that is the file's top level).
    """

    kind: Literal["value", "begin", "item", "end", "open", "close"]
    key: str | None = None
    value: Any = None


def stream(path: Path, arrays: Collection[str] = ()) -> Iterator[Event]:
    """Yield the top level of ``path``: an object (``open`` ... ``close``), or one or more lists one after another.

    Raises ``InputError`` where the text is not JSON or ends too early, with the count of whole records before.
    """
    try:
        with path.open(encoding="utf-8-sig") as handle:
            scanner = _Scanner(handle, path)
            if scanner.peek() == "{":
                yield from scanner.members(arrays)
            else:
                while scanner.peek() == "[":
                    yield from scanner.elements(None)
            if scanner.peek():
                raise scanner.broken(f"unexpected {scanner.peek()!r}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} could not be read: {error}.", "Check the path and the file.") from error


class _Scanner:
    """A window onto the text: everything before ``at`` is done with."""

    def __init__(self, handle: TextIO, path: Path) -> None:
        self.handle, self.path = handle, path
        self.text, self.at, self.ended, self.items = "", 0, False, 0

    def fill(self) -> bool:
        """Read on; False at the end. The window doubles while one value does not fit, so the cost stays linear."""
        rest = self.text[self.at :]
        more = self.handle.read(max(_BLOCK_CHARS, len(rest)))
        self.text, self.at, self.ended = rest + more, 0, not more
        return bool(more)

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            match = _WHITESPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.fill():
                return ""

    def take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            raise self.broken(f"{wanted!r} expected, found {found!r}")
        self.at += 1

    def value(self) -> Any:
        """The value that begins here. One that touches the end of the window may go on: 12 could be 123."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if not self.fill():
                    raise self.cut_off() if _at_end(error) else self.broken(error.msg) from error
                continue
            except RecursionError as error:
                raise self.broken("nested too deeply") from error
            except ValueError as error:
                raise self.broken("it has a number of thousands of digits") from error
            if end < len(self.text) or self.ended or not self.fill():
                self.at = end
                return value

    def members(self, arrays: Collection[str]) -> Iterator[Event]:
        self.take("{")
        yield Event("open")
        while self.peek() != "}":
            key = self.value()
            self.take(":")
            if self.peek() == "[" and key in arrays:
                yield from self.elements(key)
            else:
                yield Event("value", key, self.value())
            if self.peek() != "}":
                self.take(",")
        self.take("}")
        yield Event("close")

    def elements(self, key: str | None) -> Iterator[Event]:
        self.take("[")
        yield Event("begin", key)
        more = self.peek() != "]"
        while more:
            yield Event("item", key, self.value())
            self.items += 1
            more = self.another()
        self.take("]")
        yield Event("end", key)

    def another(self) -> bool:
        """Go to the next element of a list; False at its end. The pattern is the quick way, within the window."""
        match = _NEXT_ITEM.match(self.text, self.at)
        if match:
            self.at = match.end()
            return True
        if self.peek() == "]":
            return False
        self.take(",")
        return self.peek() != "]"

    def cut_off(self) -> InputError:
        return InputError(
            f"{self.path} ends in the middle: {self.items} whole records come before that.",
            "Get the whole file again, or cut off the broken end and close the brackets.",
        )

    def broken(self, what: str) -> InputError:
        if not self.peek():
            return self.cut_off()
        return InputError(
            f"{self.path} is not JSON after its first {self.items} records: {what}.", "Make the file again."
        )


def _at_end(error: json.JSONDecodeError) -> bool:
    """Whether the text was right as far as it went: more of it could have made it whole."""
    rest = error.doc[error.pos :].strip()
    word = any(whole.startswith(rest) for whole in ("true", "false", "null", "NaN", "Infinity", "-Infinity"))
    return word or error.msg.startswith("Unterminated string")


def rewrite(
    path: Path,
    output: Path,
    arrays: Collection[str],
    change: Callable[[Event], Any],
    *,
    line_by_line: bool = False,
) -> None:
    """Write ``path`` again as ``output``, every value and item replaced by what ``change`` makes of it.

    For the ``close`` of the object ``change`` returns a dict of members to add at its end. ``line_by_line`` gives
    each list of the top level a line of its own.
    """
    separator = ""
    render = _on_a_line if line_by_line else _rendered
    with atomic_writer(output) as handle:
        for event in stream(path, arrays):
            text, separator = render(event, change, separator)
            handle.write(text.encode())


def _on_a_line(event: Event, change: Callable[[Event], Any], separator: str) -> tuple[str, str]:
    """As ``_rendered``, for lists of the top level."""
    if event.kind == "begin":
        return "[", ""
    return ("]\n", "") if event.kind == "end" else (f"{separator}{json.dumps(change(event))}", ", ")


def _rendered(event: Event, change: Callable[[Event], Any], separator: str) -> tuple[str, str]:
    """The text of one event, and what separates it from the next."""
    name = "" if event.key is None or event.kind == "item" else f"{json.dumps(event.key)}: "
    if event.kind == "open":
        return "{\n", ""
    if event.kind == "begin":
        return f"{separator}{name}[\n", ""
    if event.kind == "end":
        return ("\n]", ",\n") if event.key is not None else ("\n]\n", "")
    if event.kind == "close":
        added = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in change(event).items()]
        return (separator if added else "") + ",\n".join(added) + "\n}\n", ""
    return f"{separator}{name}{json.dumps(change(event))}", ",\n"
