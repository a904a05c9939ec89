"""What comes from a file or a program, held against what it should be: the one place for shape and range.

In: a value of JSON, and the type it should have, a dataclass as a rule. Out: that type, filled. A field that is
absent takes its default; a key that the type does not know is left out, so that a later version may add some. A
number is finite, and a whole one has 64 bits, unless ``Within`` says more narrowly what it may be:

    width: Annotated[int, Within(1, 1 << 20)]

What a command or a program asks for is held against the types of its settings in the same way
(``require_sound``). This file does not know what the records mean.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from numbers import Integral, Real
from pathlib import Path, PurePosixPath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vda.errors import InputError, UsageError, VdaError
from vda.files import read_json

T = TypeVar("T")

NOT_AS_EXPECTED = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
"""What code raises that takes a foreign file's value for what it should be, and finds another shape."""

# What SQLite, NumPy and most other readers hold; Python's own numbers have no end, and range() of them fails.
_LARGEST = (1 << 63) - 1
_SHOWN_CHARS = 60
# As many have 63 bits whatever they are.
_DIGITS = 18
# What Linux lets a name and a path have (NAME_MAX, PATH_MAX without the zero behind it).
NAME_BYTES, _PATH_BYTES = 255, 4095


class ShapeError(ValueError):
    """A value is not what it should be; the text says where, and what was expected."""


@dataclass(frozen=True)
class Within:
    """The least and the largest that a number may be, or (``length``) the items of a list."""

    least: float | Fraction = -_LARGEST
    most: float | Fraction = _LARGEST
    length: bool = False

    def check(self, value: Any, where: str) -> None:
        measured = len(value) if self.length else value
        if not self.least <= measured <= self.most:
            what = "items" if self.length else "a number"
            raise ShapeError(
                f"{where} should be {what} from {float(self.least):g} to {float(self.most):g}, not {shown(value)}"
            )


@dataclass(frozen=True)
class Nameable:
    """Text that can be the path of a file: asking the system for one that cannot is an error, not a no."""

    def check(self, value: Any, where: str) -> None:
        if not is_nameable(value):
            raise ShapeError(f"{where} should be the path of a file, not {shown(value)}")


@dataclass(frozen=True)
class Inside(Nameable):
    """Text that names a file or folder inside the folder that it is looked up in, whoever wrote it."""

    def check(self, value: Any, where: str) -> None:
        super().check(value, where)
        parts = PurePosixPath(value).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ShapeError(f"{where} should be the name of a file inside the folder, not {shown(value)}")


Count = Annotated[int, Within(0)]
"""A whole number of things."""
Index = Annotated[int, Within(0, (1 << 31) - 1)]
"""A frame, a chunk, a window: what is counted through one by one."""
Side = Annotated[int, Within(1, 1 << 20)]
"""Pixels across a picture."""
Positive = Annotated[float, Within(1e-300)]
FilePath = Annotated[str, Nameable()]
InnerPath = Annotated[str, Inside()]
Rate = Annotated[Fraction, Within(Fraction(1, 1 << 62))]
"""A fraction above 0, written as ``30000/1001``."""


def read_record(path: Path, kind: type[T], remedy: str) -> T:
    """Read the JSON file ``path`` as ``kind``; ``InputError`` names the file and what of it is wrong."""
    value = read_json(path, strict=True, remedy=remedy)
    with refused_as(path, remedy):
        return filled(kind, value)


@contextmanager
def refused_as(path: Path, remedy: str) -> Iterator[None]:
    """Turn ``ShapeError`` into ``InputError`` that names the file."""
    try:
        yield
    except ShapeError as error:
        raise InputError(f"{path} is damaged, or no such record: {error}.", remedy) from error


def filled_lines(kind: type[T], values: Iterable[Any]) -> Iterator[T]:
    """Yield those of ``values`` that are of ``kind``: of a journal's lines a damaged one stands for nothing."""
    for value in values:
        with suppress(ShapeError):
            yield filled(kind, value)


def filled(kind: Any, value: Any, where: str = "it") -> Any:
    """Return ``value`` as ``kind``; raise ``ShapeError`` naming the place (``where`` is that of ``value``)."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *limits = get_args(kind)
        found = filled(inner, value, where)
        for limit in limits:
            if isinstance(limit, Within | Nameable):
                limit.check(found, where)
        return found
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), value, where)
    if origin is Literal:
        return _checked(lambda: value in get_args(kind) and not isinstance(value, bool), kind, value, where)
    if dataclasses.is_dataclass(kind):
        return _filled_record(kind, value, where)
    if (origin or kind) in _READERS:
        return _READERS[origin or kind](value, get_args(kind), where)
    raise TypeError(f"{kind} is not for files")


def require_sound(settings: Any, **options: str) -> None:
    """Hold a dataclass of settings against the types of its fields: ``Literal``, ``Within`` and plain ones.

    Raises ``UsageError`` that names the option: the field's name, or what ``options`` has for it. Only a field
    that may be infinite has no ``Within``; NaN is never a number that was meant.
    """
    kind: Any = type(settings)
    for name, wanted in _hints(kind).items():
        require_option(options.get(name, name), wanted, getattr(settings, name))


def require_option(name: str, kind: Any, value: Any) -> None:
    """As ``require_sound`` for one option, which a function takes as it is."""
    if wanted := _unsound(kind, value):
        raise UsageError(f"--{name.replace('_', '-')} {shown(value)} is not possible.", f"Give {wanted}.")


def _unsound(kind: Any, value: Any) -> str:
    """What ``value`` should be, in words; empty where it is that."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        wanted = _unsound(args[0], value)
        limits = [limit for limit in args[1:] if isinstance(limit, Within) and not limit.length]
        bad = bool(wanted) or any(not limit.least <= value <= limit.most for limit in limits)
        return f"{wanted or _WANTED[args[0]]}{''.join(map(_limit_words, limits))}" if bad else ""
    if origin in (Union, UnionType):
        problems = [_unsound(arg, value) for arg in args if arg is not NoneType]
        return "" if (value is None and NoneType in args) or "" in problems else problems[0]
    if origin is Literal:
        sound = any(value == arg and type(value) is type(arg) for arg in args)
        return "" if sound else f"one of: {', '.join(map(str, args))}"
    if origin is tuple and args[1:] == (Ellipsis,) and isinstance(value, tuple):
        return next(filter(None, (_unsound(args[0], item) for item in value)), "")
    return _WANTED[kind] if kind in _SOUND and not _SOUND[kind](value) else ""


def _limit_words(limit: Within) -> str:
    least, most = float(limit.least), float(limit.most)
    if most >= _LARGEST:
        return " above 0" if 0 < least < 1e-9 else f" of {least:g} or more"
    return f" from {least:g} to {most:g}"


def is_nameable(path: str | Path) -> bool:
    """Whether a file can have the ``path``, be there one or not."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    longest = max(map(len, encoded.split(b"/")))
    return b"\0" not in encoded and len(encoded) <= _PATH_BYTES and longest <= NAME_BYTES


def is_count(text: str) -> bool:
    """Whether ``text`` is a whole number of 64 bits, from 0: ``int`` refuses "²", and thousands of digits."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def shown(value: Any) -> str:
    """``value`` short enough for a sentence."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # nested too deeply, or a number with too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _checked(sound: Callable[[], bool], kind: Any, value: Any, where: str) -> Any:
    if not sound():
        raise _expected(_name(kind), value, where)
    return value


def _expected(what: str, value: Any, where: str) -> ShapeError:
    return ShapeError(f"{where} should be {what}, not {shown(value)}")


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return _NAMES.get(get_origin(kind) or kind, "something else")


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in kinds:
        return None
    problems = []
    for kind in kinds:
        try:
            if kind is not NoneType:
                return filled(kind, value, where)
        except ShapeError as error:
            problems.append(error)
    raise problems[0]


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _filled_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _expected("an object", value, where)
    hints, found = _hints(kind), {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.name in value:
            place = field.name if where == "it" else f"{where}.{field.name}"
            found[field.name] = filled(hints[field.name], value[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ShapeError(f"{field.name} is missing" + ("" if where == "it" else f" in {where}"))
    try:
        return kind(**found)
    except VdaError as error:  # the type's own conditions
        raise ShapeError(f"{where}: {error.problem}") from error


def _whole(value: Any, _: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _expected("a whole number", value, where)
    if abs(value) > _LARGEST:
        raise ShapeError(f"{where} is a number far too large")
    return value


def _number(value: Any, _: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("a number", value, where)
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ShapeError(f"{where} is a number far too large")
    if not math.isfinite(value):
        raise ShapeError(f"{where} is not a finite number")
    return float(value)


def _text(value: Any, _: Any, where: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _expected("text", value, where)
    return value


def _flag(value: Any, _: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _expected("true or false", value, where)
    return value


def _path(value: Any, _: Any, where: str) -> Path:
    Nameable().check(_text(value, (), where), where)
    return Path(value)


def _fraction(value: Any, _: Any, where: str) -> Fraction:
    if isinstance(value, str) and len(value) <= _SHOWN_CHARS and "e" not in value.lower():
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            pass
    raise _expected("a fraction such as 30000/1001", value, where)


def _list(value: Any, kinds: tuple[Any, ...], where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _expected("a list", value, where)
    kind = kinds[0] if kinds else Any
    return [filled(kind, item, f"{where}[{place}]") for place, item in enumerate(value)]


def _tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_list(value, kinds[:1], where))
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        raise _expected(f"a list of {len(kinds)}", value, where)
    return tuple(
        filled(kind, item, f"{where}[{n}]") for n, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _mapping(value: Any, kinds: tuple[Any, ...], where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _expected("an object", value, where)
    key_kind, kind = kinds or (Any, Any)
    return {
        filled(key_kind, key, f"a name in {where}"): filled(
            kind, item, shown(key) if where == "it" else f"{where}.{shown(key)}"
        )
        for key, item in value.items()
    }


_READERS: dict[Any, Callable[[Any, tuple[Any, ...], str], Any]] = {
    int: _whole,
    float: _number,
    str: _text,
    bool: _flag,
    Path: _path,
    Fraction: _fraction,
    list: _list,
    tuple: _tuple,
    dict: _mapping,
    Mapping: _mapping,
    Any: lambda value, _, where: value,
}
_NAMES: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
# What programs hand in: NumPy's numbers are numbers too.
_SOUND: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool) and value == value,
    bool: lambda value: isinstance(value, bool),
    str: lambda value: isinstance(value, str),
}
_WANTED: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
