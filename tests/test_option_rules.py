"""What a command refuses of an option by its kind, the library refuses of the keyword of that name."""

import inspect
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from test_api import COMMANDS, option_name

import vda
from vda.cli import main
from vda.cli.types import OneOf
from vda.errors import SceneError, UsageError


def wrong_values(kind: click.ParamType) -> Iterator[Any]:
    if isinstance(kind, click.Choice | OneOf):
        yield "no such thing"
        yield ""
    if isinstance(kind, click.IntRange | click.FloatRange):
        if kind.min is not None:
            yield kind.min if kind.min_open else kind.min - 1
        if kind.max is not None:
            yield kind.max + 1
        yield float("nan")
    if isinstance(kind, click.IntRange):
        yield 2.5
        yield "2"


def cases() -> Iterator[Any]:
    for name, command in COMMANDS.items():
        keywords = inspect.signature(getattr(vda, name)).parameters
        for option in main.commands[command].params:
            keyword = option_name(option)
            if keyword in keywords:
                for wrong in wrong_values(option.type):
                    value = (wrong,) if option.multiple else wrong
                    yield pytest.param(name, keyword, value, id=f"{name}-{keyword}-{value!r}")


NEEDED: dict[str, dict[str, Any]] = {
    "plan": {"video": "film.mp4"},
    "run": {"scene": "scene"},
    "merge": {"scene": "scene"},
    "depth": {"video": "film.mp4"},
    "enrich": {"scene": "scene", "tracks": "t.json", "output": "o.json"},
    "export": {"scene": "scene", "to": "ply", "output": "o"},
    "view": {"scene": "scene"},
}


@pytest.mark.parametrize(("name", "keyword", "value"), list(cases()))
def test_a_wrong_value_is_refused_before_anything_is_looked_at(
    name: str, keyword: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(vda.VdaError) as refused:
        getattr(vda, name)(**{**NEEDED[name], keyword: value})
    told = str(refused.value)
    # Neither the film nor the scene is there: whoever looks at them first says so.
    assert "film.mp4" not in told and "not a scene" not in told, told
    assert not list(tmp_path.iterdir())


def settings_of_other_stages() -> list[Any]:
    """What commands that ``import vda`` has no function for take: a maker, a keyword, a wrong value."""
    from vda.comparing.truth import evaluate
    from vda.fvc.augment import AugmentSettings
    from vda.fvc.embed import EmbedSettings
    from vda.fvc.folds import write_folds
    from vda.fvc.rate import Rate
    from vda.fvc.request import ScaleSettings
    from vda.fvc.shards import ShardSettings
    from vda.viewing.settings import ViewSettings

    measure = partial(evaluate, Path("depth"), Path("truth"))
    deal = partial(write_folds, Path("table.csv"), Path("folds.csv"))
    view = partial(ViewSettings, Path("scene"))
    wrong: list[tuple[Any, str, list[Any]]] = [
        (measure, "border", [-1, 2.5]),
        (measure, "align", ["rigid"]),
        (measure, "crop", ["kitti"]),
        (measure, "truth_scale", [0, -1.0, float("nan")]),
        (deal, "folds", [1, 2.5]),
        (deal, "seed", [-1]),
        (ScaleSettings, "method", ["zoom"]),
        (ScaleSettings, "modality", ["thermal"]),
        (ScaleSettings, "chunk_size", [0]),
        (ScaleSettings, "crf", [52, -1]),
        (ScaleSettings, "gop", [0]),
        (ScaleSettings, "depth_format", ["tiff"]),
        (Rate, "stride", [0]),
        (Rate, "most", [0]),
        (AugmentSettings, "count", [0]),
        (AugmentSettings, "crf", [52]),
        (EmbedSettings, "form", ["csv"]),
        (EmbedSettings, "most", [0]),
        (ShardSettings, "most_samples", [0]),
        (ShardSettings, "most_bytes", [0]),
        (view, "export_frames", [1, 201]),
        (view, "port", [-1, 65536]),
        (view, "track_format", ["no such thing"]),
    ]
    return [
        pytest.param(make, {keyword: value}, id=f"{keyword}-{value}")
        for make, keyword, values in wrong
        for value in values
    ]


@pytest.mark.parametrize(("make", "keywords"), settings_of_other_stages())
def test_so_do_the_other_stages(make: Any, keywords: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make(**keywords)


def test_the_sentences_name_the_option_and_what_it_may_be() -> None:
    with pytest.raises(UsageError) as refused:
        vda.export("scene", to="ply", output="o", every=0)
    assert str(refused.value) == "--every 0 is not possible. Give a whole number of 1 or more."
    with pytest.raises(
        UsageError, match=r"--at 'middle' is not possible\. Give one of: auto, window, box, mask\."
    ):
        vda.enrich("scene", tracks="t.json", output="o.json", at="middle")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--pitch 80 is not possible\. Give a number from -75 to 75\."):
        vda.enrich("scene", tracks="t.json", output="o.json", pitch=80)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(SceneError):
        vda.export(tmp_path, to="ply", output=tmp_path / "o", every=np.int64(2), far=np.float32(3), fov=60)  # type: ignore[arg-type]


# What asks for a package that may be absent, and is said before the film or the scene is looked at.
ABSENT: list[tuple[str, dict[str, Any], str]] = [
    ("merge", {"format": "exr"}, "OpenEXR"),
    ("depth", {"format": ["png16", "exr"]}, "OpenEXR"),
    ("plan", {"shots": "auto"}, "scenedetect"),
    ("depth", {"shots": "auto"}, "scenedetect"),
    ("export", {"to": "ply"}, "plyfile"),
    ("export", {"to": "nerfstudio", "poses": "poses.json"}, "plyfile"),
    ("export", {"to": "rerun"}, "rerun"),
    ("enrich", {"also": ["parquet"]}, "pyarrow"),
    ("enrich", {"smooth": True}, "filterpy"),
]


@pytest.mark.parametrize(("name", "keywords", "package"), ABSENT)
def test_an_absent_package_is_said_at_the_start(
    name: str, keywords: dict[str, Any], package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"not installed.*(?s:pip install)"):
        getattr(vda, name)(**{**NEEDED[name], **keywords})
    assert not list(tmp_path.iterdir())
