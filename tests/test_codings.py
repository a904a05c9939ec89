"""Codes that lie evenly or not: nearest values, the same in every reader, a remark where few codes are used."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from boards import write_depth
from click.testing import CliRunner
from clips import make_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from test_outputs import FRAMES, HEIGHT, WIDTH, contents, depth_of, errors, make_scene

from vda.calibration.identity import Fingerprint
from vda.cli.merge import merge as merge_command
from vda.depthmaps.codes import DepthRecord, Kind, LeftOut, Quantizer
from vda.depthmaps.codings import CODINGS, Coding
from vda.depthmaps.colours import colorize_codes, colour_table
from vda.depthmaps.files import read_png16
from vda.depthmaps.levels import Levels
from vda.depthmaps.source import open_depth
from vda.errors import InputError, UsageError
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return make_clip(path, range(FRAMES), draw=lambda number: np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8))


KINDS: tuple[Kind, ...] = ("inverse_depth", "depth")
NAMES = ("scale", "offset", "step", "low")
BENT: tuple[Coding, ...] = ("sqrt", "log")
finite = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def values_by_the_formula(record: dict[str, Any], codes: np.ndarray) -> np.ndarray:
    """What another program makes of ``depth.json``: the formula as it stands there, with the names in it."""
    formula = record["formula"].removeprefix("value = ").removesuffix(", for code >= 1")
    names: dict[str, Any] = {name: record[name] for name in NAMES if name in record}
    return np.asarray(eval(formula, {"__builtins__": {}}, {**names, "code": codes.astype(np.float64)}))


def test_a_thing_at_five_centimetres_leaves_the_far_range_what_arithmetic_says() -> None:
    """0.05 m beside a scene of 2 to 100 m: codes from 2 to 100 m, and how far off 50 m may be."""
    right = {"linear": (1607, 0.39), "sqrt": (10_000, 0.024), "log": (40_000, 0.003)}
    for coding in CODINGS:
        record = Quantizer.for_range(1 / 100, 1 / 0.05, coding).meaning()
        values = values_by_the_formula(record, np.arange(1, 65536))
        used = ((values >= 1 / 100 - 1e-12) & (values <= 1 / 2)).sum()
        after = int(np.searchsorted(values, 1 / 50))
        half = (values[after] - values[after - 1]) / 2
        off = 1 / (1 / 50 - half) - 50
        codes, most = right[coding]
        assert off <= most and used >= codes
        assert coding != "linear" or (used == codes and off > 0.38)
    near = values_by_the_formula(Quantizer.for_range(1 / 100, 1 / 0.2).meaning(), np.array([1, 2]))
    assert 1 / (1 / 50 - (near[1] - near[0]) / 2) - 50 == pytest.approx(0.096, abs=0.001)


@settings(deadline=None, max_examples=60)
@given(finite, st.builds(math.ldexp, st.floats(0.5, 1), st.integers(-12, 20)), st.sampled_from(BENT), st.data())
def test_a_value_takes_the_code_whose_value_is_nearest(
    low: float, span: float, coding: Coding, data: st.DataObject
) -> None:
    high = float(np.float32(low + span))
    if high <= low:
        return
    kind: Kind = data.draw(st.sampled_from(KINDS if low > 0 else KINDS[:1]))
    quantizer = Quantizer.for_range(low, high, coding, kind)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # Most of them near the low end, where codes are close together.
    depth = (low + (high - low) * random.random(2000) ** random.integers(1, 9, 2000)).astype(np.float32)
    depth[:4] = low, high, np.nan, np.inf
    codes, left_out = quantizer.encode_counted(depth)
    assert left_out == LeftOut(invalid=2) and codes[:4].tolist() == [1, 65535, 0, 0]
    known = np.isfinite(depth)
    exact = values_by_the_formula(quantizer.meaning(), np.arange(1, 65536))
    assert (np.diff(exact) >= 0).all()
    found, true = exact[codes[known] - 1], depth[known].astype(np.float64)
    after = np.clip(np.searchsorted(exact, true), 1, 65534)
    nearest = np.minimum(np.abs(exact[after] - true), np.abs(exact[after - 1] - true))
    rounding = 4 * np.spacing(max(abs(low), abs(high)))
    assert (np.abs(found - true) <= nearest + rounding).all()
    decoded = quantizer.decode(codes)
    assert np.isnan(decoded).tolist() == (~known).tolist()
    single = np.spacing(np.abs(found).astype(np.float32))
    assert (np.abs(decoded[known].astype(np.float64) - found) <= single + rounding).all()


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.sampled_from(CODINGS))
def test_a_code_does_not_depend_on_scale_and_shift(scale: float, shift: float, coding: Coding) -> None:
    """Relative depth has neither; float64 here, so that nothing is rounded before it is coded."""
    values = np.linspace(0, 20, 4001) ** 2 / 20
    plain, moved = values.astype(np.float64), scale * values + shift
    codes = [Quantizer.for_range(v.min(), v.max(), coding).encode(v) for v in (plain, moved)]  # type: ignore[arg-type]
    assert np.abs(codes[0].astype(int) - codes[1]).max() <= 1
    assert (codes[0] != codes[1]).mean() < 0.01


@pytest.mark.parametrize("coding", BENT)
def test_nothing_and_the_same_everywhere_come_back_exactly(coding: Coding) -> None:
    far = np.array([0, 1e-30, 1e-7, 0.3, 7], np.float32)
    quantizer = Quantizer.for_range(0, 7, coding)
    assert quantizer.decode(quantizer.encode(far))[[0, 1, 4]].tolist() == [0, 0, 7]
    for value in (0.0, -3.25, 1e-3, 123456.0):
        even = np.full((3, 4), value, np.float32)
        constant = Quantizer.for_range(float(even[0, 0]), float(even[0, 0]), coding)
        assert (constant.encode(even) == 1).all()
        assert (constant.decode(constant.encode(even)) == even).all()


@pytest.mark.parametrize("coding", CODINGS)
def test_nothing_has_a_length_of_nought(coding: Coding) -> None:
    quantizer = Quantizer.for_range(0, 10, coding, "depth")
    codes, left_out = quantizer.encode_counted(np.array([0, -1, 2, 10, 10.5, np.nan], np.float32))
    assert (codes > 0).tolist() == [False, False, True, True, False, False]
    assert left_out == LeftOut(invalid=1, clipped=3)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("ends", [(1, 255), (64, 1023)])
def test_levels_take_the_nearest_too_and_run_from_end_to_end(coding: Coding, ends: tuple[int, int]) -> None:
    levels = Levels.for_range(0.5, 20, *ends, coding)
    assert Levels.meant_by(json.loads(json.dumps(levels.meaning()))) == levels
    exact = values_by_the_formula(levels.meaning(), np.arange(ends[0], ends[1] + 1))
    assert exact[[0, -1]] == pytest.approx([0.5, 20])
    depth = (0.5 + 19.5 * np.random.default_rng(1).random(3000) ** 3).astype(np.float32)
    depth[:3] = -5, 99, np.inf
    codes = levels.encode(depth)
    assert codes[:3].tolist() == [ends[0], ends[1], ends[1]]
    off = np.abs(exact[codes[3:] - ends[0]] - depth[3:])
    assert (off <= np.abs(exact[:, None] - depth[3:]).min(axis=0) + 1e-9).all()
    # A lossy video gives back codes before the first and after the last.
    around = levels.decode(np.array([0, ends[0] // 2 + 1, ends[0], ends[1], ends[1] + 2], np.uint16))
    assert np.isnan(around[0]) and (np.diff(around[1:]) >= 0).all()


@pytest.mark.parametrize("coding", BENT)
def test_a_program_that_takes_all_codes_for_even_finds_no_scale(tmp_path: Path, coding: Coding) -> None:
    record = DepthRecord(Quantizer.for_range(0.1, 7.3, coding), 70, 848, 478, remarks=["One."], middle_codes=9)
    record.write(tmp_path / "depth.json")
    assert DepthRecord.read(tmp_path / "depth.json") == record
    written = json.loads((tmp_path / "depth.json").read_text())
    assert written["coding"] == coding and not {"scale", "offset"} & written.keys()
    assert values_by_the_formula(written, np.array([1, 65535])) == pytest.approx([0.1, 7.3])


@pytest.mark.parametrize("coding", ["cubic", None, 7, ["log"], {}])
def test_a_coding_that_nobody_knows_is_refused(tmp_path: Path, coding: object) -> None:
    folder = write_depth(tmp_path / "depth", [np.full((4, 5), 2.0, np.float32)])
    record = json.loads((folder / "depth.json").read_text())
    (folder / "depth.json").write_text(json.dumps({**record, "coding": coding}))
    with pytest.raises(InputError, match="linear, sqrt, log") as error:
        open_depth(folder)
    assert error.value.remedy


def test_a_coding_without_its_numbers_is_refused(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "depth", [np.full((4, 5), 2.0, np.float32)])
    record = json.loads((folder / "depth.json").read_text())
    (folder / "depth.json").write_text(json.dumps({**record, "coding": "log"}))
    with pytest.raises(InputError, match=r"depth\.json"):
        open_depth(folder)


def gaps(record: dict[str, Any], codes: np.ndarray) -> np.ndarray:
    """The larger of the distances from each code's value to its neighbours'."""
    values = [values_by_the_formula(record, codes.astype(int) + one) for one in (-1, 0, 1)]
    return np.maximum(values[1] - np.where(codes > 1, values[0], values[1]), values[2] - values[1])


@pytest.fixture(scope="module")
def merged(video: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same depth in every coding and in all formats that hold codes."""
    folders: dict[str, Path] = {}
    for coding in CODINGS:
        scene = make_scene(tmp_path_factory.mktemp(coding) / "scene", video)
        merge(scene, MergeSettings(formats=("png16", "png8", "mkv", "npz", "h264"), coding=coding))
        folders[coding] = scene.merged_dir
    return folders


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", [".", "depth.mkv", "png8"])
def test_a_format_comes_back_to_within_half_its_own_step(merged: dict[str, Path], coding: str, name: str) -> None:
    record = json.loads((merged[coding] / "depth.json").read_text())
    of = record["levels"]["png8"] if name == "png8" else record
    source, exact = open_depth(merged[coding] / name), open_depth(merged[coding] / "depths.npz")
    spread = Levels.meant_by(of) if name == "png8" else DepthRecord.read(merged[coding] / "depth.json").quantizer
    for frame in range(FRAMES):
        found, true = source.read(frame), exact.read(frame)
        assert (np.isnan(found) == np.isnan(true)).all() and np.isnan(true).any()
        known = np.isfinite(true)
        step = gaps(of, spread.encode(true)[known])
        assert (np.abs(found - true)[known] <= step / 2 + 1e-6).all()
    assert errors(merged[coding] / "depths.npz").max() < 1e-4


def test_every_coding_is_of_the_same_floats_and_has_the_same_colours(merged: dict[str, Path]) -> None:
    assert len({(folder / "depths.npz").read_bytes() for folder in merged.values()}) == 1
    records = {coding: json.loads((folder / "depth.json").read_text()) for coding, folder in merged.items()}
    assert {coding: record["coding"] for coding, record in records.items()} == {c: c for c in CODINGS}
    assert len({record["formula"] for record in records.values()}) == len(CODINGS)
    neighbours = np.abs(np.diff(colour_table().astype(int), axis=0)).max()
    for frame in (0, 13):
        pictures = [
            colorize_codes(
                read_png16(folder / f"depth_{frame:06d}.png"), DepthRecord.read(folder / "depth.json").quantizer
            )
            for folder in merged.values()
        ]
        for other in pictures[1:]:
            assert np.abs(pictures[0].astype(int) - other).max() <= neighbours
        for folder in merged.values():
            lossy = open_depth(folder / "depth_h264.mp4").read(frame)
            assert np.nanmedian(np.abs(lossy - depth_of(frame))) < 0.05


@pytest.mark.parametrize("coding", BENT)
def test_a_calibration_is_known_again_in_any_coding(merged: dict[str, Path], coding: str) -> None:
    one, other = (open_depth(merged[name]) for name in ("linear", coding))
    assert Fingerprint.of(one.frames, one.read).fits(Fingerprint.of(other.frames, other.read))


def squeezed(index: int) -> np.ndarray:
    """Inverse depth of 2 to 100 m all over the picture, and of 0.05 m in one pixel of a hundred."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    far = 1 / 100 + (1 / 2 - 1 / 100) * (x + WIDTH * y) / (HEIGHT * WIDTH - 1)
    far[::10, ::10] = 1 / 0.05
    return np.roll(far, index, axis=1).astype(np.float32)


def scene_of(root: Path, video: Path, draw: Callable[[int], np.ndarray], kind: Kind = "inverse_depth") -> Any:
    scene = make_scene(root, video)
    for chunk in scene.plan().chunks:
        stack = np.stack([draw(index) for index in range(chunk.start, chunk.stop)])
        np.savez(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npz", depths=stack)
    return scene


def test_few_codes_for_most_of_a_film_are_said_with_what_to_do(video: Path, tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "scene", video, squeezed)
    (remark,) = merge(scene, MergeSettings()).remarks
    record = DepthRecord.read(scene.depth_record_path)
    # 96 % of all pixels, less the two hundredths at either end: 1 % of these is the near thing.
    pixels = np.sort(np.stack([squeezed(index) for index in range(FRAMES)]).ravel()).astype(np.float64)
    tail = len(pixels) // 50
    middle = pixels[-1 - tail] - pixels[tail]
    expected = middle / ((20 - 0.01) / 65534)
    assert record.middle_codes == pytest.approx(expected, abs=3) and expected < 1607
    assert f"have {record.middle_codes} of the 65535 codes" in remark and "--coding log" in remark
    assert record.remarks == [remark]
    promised = int(remark.split()[-1].rstrip("."))
    # Where a value lies in log codes: the logarithm of 1 + what it is above the least one, in linear steps.
    ends = np.log1p((pixels[[tail, -1 - tail]] - 0.01) / ((20 - 0.01) / 65534)) / math.log(65535) * 65534
    assert promised == pytest.approx(np.ptp(ends), rel=0.01) and promised > 20_000
    again = merge(scene, MergeSettings(coding="log", overwrite=True))
    assert again.remarks == ()
    assert DepthRecord.read(scene.depth_record_path).middle_codes == pytest.approx(promised, rel=0.02)


def test_a_film_of_one_value_has_nothing_to_say(video: Path, tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "scene", video, lambda _: np.full((HEIGHT, WIDTH), 3.5, np.float32))
    assert not any("codes" in remark for remark in merge(scene, MergeSettings()).remarks)
    assert DepthRecord.read(scene.depth_record_path).middle_codes == 1


@pytest.mark.parametrize("coding", BENT)
def test_metres_beyond_what_millimetres_hold_have_codes(video: Path, tmp_path: Path, coding: Coding) -> None:
    scene = scene_of(tmp_path / "scene", video, lambda index: 1 / squeezed(index), "depth")
    assert merge(scene, MergeSettings(kind="depth", coding=coding)).remarks == ()
    record = DepthRecord.read(scene.depth_record_path)
    assert (record.clipped, record.quantizer.unit) == (0, "metre")
    for frame in (0, 9):
        found, true = open_depth(scene.merged_dir).read(frame), 1 / squeezed(frame).astype(np.float64)
        step = gaps(json.loads(scene.depth_record_path.read_text()), record.quantizer.encode(found))
        assert (np.abs(found - true) <= step / 2 + 1e-5 * true).all()


def test_codes_to_the_metre_are_linear() -> None:
    with pytest.raises(UsageError, match="--depth-scale"):
        MergeSettings(kind="depth", depth_scale=5000, coding="log")
    with pytest.raises(UsageError, match="cubic"):
        MergeSettings(coding="cubic")  # type: ignore[arg-type]


def test_finished_depth_in_another_coding_is_refused_and_an_interrupted_merge_begins_anew(
    video: Path,
    tmp_path: Path,
) -> None:
    scene = scene_of(tmp_path / "scene", video, squeezed)
    merge(scene, MergeSettings())
    kept = MergeSettings(keep_finished=True)
    assert merge(scene, kept).remarks == ("The depth was already merged.",)
    assert merge(scene, replace(kept, coding="linear")).frames == FRAMES
    before = contents(scene.merged_dir)
    for formats in (("png16",), ("png16", "mkv")):
        with pytest.raises(UsageError, match="made with --coding linear"):
            merge(scene, replace(kept, coding="log", formats=formats))
    with pytest.raises(UsageError, match="made with --coding linear"):
        merge(scene, MergeSettings(coding="sqrt", formats=("mkv",)))
    assert contents(scene.merged_dir) == before
    whole = scene_of(tmp_path / "whole", video, squeezed)
    merge(whole, MergeSettings(coding="log"))
    scene.depth_record_path.unlink()
    merge(scene, replace(kept, coding="log"))
    assert contents(scene.merged_dir).keys() == contents(whole.merged_dir).keys()
    for name, data in contents(whole.merged_dir).items():
        if name != "depth.json":
            assert contents(scene.merged_dir)[name] == data


def test_a_format_that_is_added_has_the_coding_that_is_there(video: Path, tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "scene", video, squeezed)
    merge(scene, MergeSettings(coding="log", formats=("npz",)))
    assert DepthRecord.read(scene.depth_record_path).middle_codes is None
    merge(scene, MergeSettings(formats=("png16", "png8")))
    merge(scene, MergeSettings(formats=("mkv",), coding="log"))
    record = DepthRecord.read(scene.depth_record_path)
    assert (record.quantizer.coding, record.levels["png8"]["coding"]) == ("log", "log")
    assert record.middle_codes is not None and record.middle_codes > 20_000
    images, stream = open_depth(scene.merged_dir), open_depth(scene.merged_dir / "depth.mkv")
    for frame in (0, 17):
        assert np.array_equal(images.read(frame), stream.read(frame))
    anew = merge(scene, MergeSettings(overwrite=True))
    assert any("log codes" in remark and "linear" in remark for remark in anew.remarks)
    assert DepthRecord.read(scene.depth_record_path).quantizer.coding == "linear"


def test_a_merge_that_goes_on_counts_the_frames_that_were_there(video: Path, tmp_path: Path) -> None:
    """Every other frame is of far things alone, and these are the ones that were there."""
    scene = scene_of(tmp_path / "scene", video, lambda index: squeezed(index) * (1 if index % 2 else 0.01))
    result = merge(scene, MergeSettings())
    counted = DepthRecord.read(scene.depth_record_path)
    lines = [{"index": index, "missing": False, "invalid": 0, "clipped": 0} for index in range(0, FRAMES, 2)]
    scene.depth_record_path.unlink()
    (scene.merged_dir / "merge_journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert merge(scene, MergeSettings()) == result
    assert DepthRecord.read(scene.depth_record_path) == counted


def test_metres_without_an_end_have_levels_up_to_the_last_code(video: Path, tmp_path: Path) -> None:
    """1 / metres = value - 0.02: what has a value of 0.02 or less is infinitely far."""
    scene = scene_of(tmp_path / "scene", video, squeezed)
    merge(scene, MergeSettings(formats=("png8",), depth_scale=1000, metres=(1.0, -0.02)))
    far = squeezed(0) < 0.0201
    metres = open_depth(scene.merged_dir).read(0)
    assert far.sum() > 20 and metres[far] == pytest.approx(65.535)
    near = squeezed(0) > 0.1
    assert np.abs(metres - 1 / (squeezed(0) - 0.02))[near].max() <= 65.535 / 254 / 2 + 1e-3


def command_of(path: Path) -> click.Command:
    """The command in a script."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: click.Command = module.main
    return found


def test_the_classic_script_and_the_command_take_a_coding(video: Path, tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "scene", video, squeezed)
    said = CliRunner().invoke(merge_command, [str(scene.root), "--coding", "log", "-q"])
    assert (said.exit_code, said.output.splitlines()[-1]) == (0, f"24 frames of depth in {scene.merged_dir}")
    script = command_of(Path(__file__).parents[1] / "tools" / "merge_depth_chunks.py")
    places = ["--metadata", scene.plan_path, "--depth_dir", scene.depths_dir, "--output_dir", tmp_path / "classic"]
    done = CliRunner().invoke(script, [*map(str, places), "--coding", "log"])
    assert done.exit_code == 0, done.output
    one, other = (
        (folder / "depth_000005.png").read_bytes() for folder in (scene.merged_dir, tmp_path / "classic")
    )
    assert one == other
    again = CliRunner().invoke(merge_command, [str(scene.root), "--coding", "sqrt", "--format", "npz"])
    assert again.exit_code == 2 and "--coding log" in again.output
