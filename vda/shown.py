"""Names of files and machines made fit to be shown: on a terminal, in a page, in a command to paste.

In: text with anything in it, for the system allows all but a zero in a name. Out: text without control
characters, which a terminal would obey, and without bytes that no encoding can write. This file does not know
where it is shown.
"""

import os
import re
import shlex
from pathlib import Path

# Control characters of ASCII and Latin 1, what turns the direction of writing, and what stands for bytes that are
# not UTF-8 (PEP 383).
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN = re.compile(r"[\x20-\x26\x28-\x5b\x5d-\x7e]")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Return ``text`` with what is unfit spelled as in Python, such as ``\x1b``; ``one_line``: line ends too."""
    fit = _UNFIT.sub(lambda found: _spelled(found[0]), text)
    return fit.replace("\n", "\\n").replace("\t", "\\t") if one_line else fit


def _spelled(character: str) -> str:
    number = ord(character)
    # PEP 383 puts byte 0x80 at U+DC80.
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def counted(number: int, noun: str) -> str:
    """Return a number of things as a person says it: ``1 chunk``, ``250 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """Time left, as exact as it is worth: "90 s", "20 min", "13 h 5 min"."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def quoted(path: str | Path) -> str:
    r"""Return ``path`` as a shell reads it: as it is where it can be, else in quotes, or as ``$'...'`` of bash.

    The last is for what is unfit to be shown: the command can be pasted, and its name is that of the file.
    """
    text = str(path)
    if not _UNFIT.search(text) and not {"\n", "\t"} & set(text):
        return shlex.quote(text)
    spelled = (chr(byte) if _PLAIN.match(chr(byte)) else f"\\x{byte:02x}" for byte in os.fsencode(text))
    return f"$'{''.join(spelled)}'"
