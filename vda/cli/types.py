"""The types of options: numbers with separators between them, and names out of a registry.

In: what somebody typed. Out: tuples, numbers and names. This file does not know which option means what, and it
loads a registry only when one of its names is asked for.
"""

from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from vda.errors import VdaError

PATH = click.Path(path_type=Path)


class Numbers(click.ParamType):
    """Numbers with a separator between them, as a tuple; ``name`` shows how they are written, as in ``WxH``."""

    def __init__(self, name: str, separator: str, meaning: str, number: type[int] | type[float] = int) -> None:
        self.name = name
        self._separator, self._meaning, self._number = separator, meaning, number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self._number(part) for part in value.lower().split(self._separator))
        except ValueError:
            numbers = ()
        if len(numbers) != 1 + self.name.count(self._separator):
            self.fail(f"{value!r} is not {self.name}, {self._meaning}.", param, ctx)
        return numbers


SIZE = Numbers("WxH", "x", "a width and a height in pixels, such as 1920x1080")
CROP = Numbers("L,T,W,H", ",", "left, top, width and height in pixels, such as 0,60,1920,960")
FRAME_RANGE = Numbers("A:B", ":", "two frame indices, such as 0:250")
SHARD = Numbers("I/N", "/", "part I of N counted from 0, such as 0/3")
SHARES = Numbers("TRAIN/VAL/TEST", "/", "three shares, such as 80/10/10", float)
SCALE_AND_SHIFT = Numbers("SCALE,SHIFT", ",", "two numbers, such as 0.01,0.02", float)


class PartOfMerge(click.ParamType):
    """``fits``, ``end``, or range I of N of the frames."""

    name = "fits|I/N|end"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | tuple[Any, ...]:
        return value if value in ("fits", "end") else SHARD.convert(value, param, ctx)


class DepthScale(click.ParamType):
    """``mm``, ``tum``, ``kitti`` or a number: 16-bit codes per metre."""

    name = "mm|tum|kitti|FLOAT"
    known: ClassVar = {"mm": 1000.0, "tum": 5000.0, "kitti": 256.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            codes = self.known[value] if value in self.known else float(value)
        except (TypeError, ValueError):
            codes = 0.0
        if not 0 < codes < float("inf"):
            self.fail(f"{value!r} is neither mm, tum, kitti nor a number of codes per metre.", param, ctx)
        return codes


class OneOf(click.ParamType):
    """One of the names in a registry of the library, such as ``vda.tracks:FORMATS``; loaded when it is needed."""

    name = "choice"

    def __init__(self, registry: str) -> None:
        self._registry = registry

    @cached_property
    def _choice(self) -> click.Choice[str]:
        return click.Choice(tuple(resolve_name(self._registry)))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._choice.convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        try:
            return self._choice.get_metavar(param, ctx)
        except VdaError:  # the package that the registry is of is not installed: help needs none
            return None

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str | None:
        return self._choice.get_missing_message(param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return self._choice.shell_complete(ctx, param, incomplete)
        except VdaError:
            return []
