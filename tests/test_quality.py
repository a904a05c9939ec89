"""Figures without truth, and conditions on them: right values by arithmetic; nothing passes that is not known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from clips import make_clip
from numpy.typing import NDArray
from two_chunks import CHANGE, HEIGHT, WIDTH, make_scene

from vda.cli.gate import Condition, met
from vda.cli.report import report as command
from vda.depthmaps.codes import MAX_CODE, DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.depthmaps.source import open_depth
from vda.errors import UsageError
from vda.evaluation.drift import Wandering
from vda.evaluation.quality import FIGURES, Quality, invalid_share, measure_quality
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.network.packing import packed
from vda.scene.scene import RunRecord, Scene
from vda.scene.windows import WINDOW_STEP, Window
from vda.scene.windowstore import WindowStore
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

pytestmark = pytest.mark.whole

# What the depth of ``make_scene`` rises by over a frame.
RISE = 0.1 * (HEIGHT - 1) + 0.02 * (WIDTH - 1)


def linked_scene(root: Path, windows: Sequence[NDArray[np.floating]], *, metric: bool = False) -> Scene:
    """A merged scene of these raw windows, [32, 32, 48] each, of a film as long as they reach."""
    root.mkdir(exist_ok=True)
    video = make_clip(root / "a.mp4", range(film_length(len(windows))))
    scene = Scene(root / "scene")
    split(video, scene, PlanSettings(chunks=1))
    record = RunRecord(
        "mini", "mini", "", "0" * 64, "", "", metric, 32, 48, 32, "fp32", "", "0",
    )  # fmt: skip
    scene.write_run(record)
    store = WindowStore.of(scene, record)
    for k, window in enumerate(windows):
        store.write((0, k), packed(window.astype(np.float32)), ())
    merge(scene, MergeSettings())
    return scene


def film_length(windows: int) -> int:
    return WINDOW_STEP * windows + 3


def windows_scene(root: Path, sizes: tuple[float, ...], *, metric: bool = False, flat: bool = False) -> Scene:
    """A merged scene of linked windows of one picture, which window k has with its slot 0 times ``sizes[k]``."""
    picture = 1 + (not flat) * np.random.default_rng(3).random((32, 48))
    windows = np.repeat(picture[None, None], len(sizes), axis=0).repeat(32, axis=1)
    windows[:, 0] *= np.array(sizes)[:, None, None]
    return linked_scene(root, list(windows), metric=metric)


def stepped(scene: Scene, by: float) -> Scene:
    """``scene`` with ``by`` added to its merged depth at each chunk: a merge that left a step there."""
    record, depth = DepthRecord.read(scene.depth_record_path), open_depth(scene.merged_dir)
    values = {
        frame: depth.read(frame) + np.float32(by * chunk.index)
        for chunk in scene.plan().chunks
        for frame in range(chunk.keep_start, chunk.keep_stop)
    }
    every = np.stack(list(values.values()))
    quantizer = Quantizer.for_range(float(every.min()), float(every.max()))
    for frame, changed in values.items():
        write_png16(scene.depth_path(frame), quantizer.encode(changed))
    replace(record, quantizer=quantizer).write(scene.depth_record_path)
    return scene


def test_a_film_without_a_seam_has_a_score_of_one_and_a_known_step_a_known_one(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, chunks=3)
    assert measure_quality(scene).values["seam"] == pytest.approx(1, rel=0.02)
    found = measure_quality(stepped(scene, 0.2))
    # A seam adds 0.2 to the change of 0.05 that is there anyway.
    assert found.values["seam"] == pytest.approx((CHANGE + 0.2) / CHANGE, rel=0.02)
    assert found.values["seam_median"] == pytest.approx((CHANGE + 0.2) / CHANGE, rel=0.02)
    assert (len(found.seams), found.seam_count) == (2, 2)


def test_a_still_film_has_scores_too(tmp_path: Path) -> None:
    """Nothing changes but at the seam, which is held against a step of the codes, the least that can be told."""
    scene = make_scene(tmp_path, change=0)
    assert measure_quality(scene).values["seam"] == 1
    found = measure_quality(stepped(scene, 0.5)).values["seam"]
    assert found == pytest.approx(0.5 / ((RISE + 0.5) / (MAX_CODE - 1)), rel=1e-3)


def test_a_film_in_one_piece_has_no_seam(tmp_path: Path) -> None:
    found = measure_quality(make_scene(tmp_path, chunks=1))
    assert (found.values["seam"], found.values["seam_median"], found.seam_count) == (1, 1, 0)
    # Of another program's depth nobody knows what it was made of.
    assert found.values["drift"] is None and "another program" in found.why["drift"]


def test_overlaps_that_say_nothing_are_counted(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, chunks=3, flat=1)
    assert measure_quality(scene).values["untied"] == 2
    assert measure_quality(make_scene(tmp_path / "all", chunks=3)).values["untied"] == 0


def test_drift_is_how_frames_come_back(tmp_path: Path) -> None:
    sizes = (1.0, 1.2, 0.9, 1.1)
    scene = windows_scene(tmp_path, sizes)
    [shot] = DepthRecord.read(scene.depth_record_path).shots
    # One picture is in all of them, and the log of a product is the sum of the logs.
    again, others = np.log(np.array(shot["scale"]) * sizes), np.log(shot["scale"])
    steps = np.diff(others)
    expected = np.sqrt((again.var() + steps.var()) / 2 + steps.mean() ** 2 / 12)
    assert measure_quality(scene).values["drift"] == pytest.approx(expected, rel=1e-3)
    steady = windows_scene(tmp_path / "steady", (1.0, 1.0, 1.0))
    assert measure_quality(steady).values["drift"] == pytest.approx(0, abs=1e-5)
    for window in steady.finished_windows():
        steady.window_path(window).unlink()
    gone = measure_quality(steady)
    assert gone.values["drift"] is None and "no longer there" in gone.why["drift"]


@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_drift_is_estimated_as_it_is(tmp_path: Path, spread: float) -> None:
    """Windows whose scales are independent of each other: a film of many wanders by that spread."""
    random = np.random.default_rng(5)
    scales = np.exp(random.normal(0, spread, 40))
    again = np.log(scales) - np.median(np.log(scales))
    assert Wandering(tuple(again), ()).drift == pytest.approx(spread, rel=0.2)
    assert Wandering(tuple(again), (0.0,) * 39).drift == pytest.approx(spread / np.sqrt(2), rel=0.2)
    # A sawtooth of teeth of this height and nothing else.
    teeth = np.linspace(-spread / 2, spread / 2, 1001)
    assert Wandering((), (-spread,) * 10).drift == pytest.approx(teeth.std(), rel=1e-2)
    assert Wandering((0.0,), ()).drift == 0


@pytest.mark.parametrize(("growth", "anchor"), [(0.2, 0.0), (0.05, 0.2)])
def test_drift_is_near_the_truth_that_it_does_not_see(tmp_path: Path, growth: float, anchor: float) -> None:
    """A film whose true depth is known, through windows that grow on their way or see their first frame wrong."""
    random, windows = np.random.default_rng(7), 16
    y, x = np.mgrid[:32, :48]
    film = np.stack(
        [
            1 + 0.05 * y + 2 * np.exp(-np.hypot(x - 24 - 16 * np.sin(frame / 40), y - 16) / 6)
            for frame in range(film_length(windows))
        ]
    )
    raw = []
    for k in range(windows):
        grown = np.exp(random.normal(0, growth) * np.concatenate([[0, 0], np.linspace(0, 1, 30)]))
        window = film[list(Window(0, len(film), k).frame_indices)] * grown[:, None, None]
        window[0] *= np.exp(random.normal(0, anchor)) if k else 1
        raw.append(window * np.exp(random.normal(0, 0.1)))
    scene = linked_scene(tmp_path, raw)
    depth = open_depth(scene.merged_dir)
    seen = [cv2.resize(depth.read(frame), (48, 32), interpolation=cv2.INTER_AREA) for frame in depth.frames]
    truth = np.std([np.log(one.std() / true.std()) for one, true in zip(seen, film, strict=True)])
    assert truth > 0.03
    found = measure_quality(scene).values["drift"]
    # Sixteen windows are few to tell a spread by: of six draws the farthest was at 1.8 times the truth.
    assert found is not None and truth / 2 < found < 2 * truth


def test_drift_of_metres_is_that_of_their_logarithm(tmp_path: Path) -> None:
    sizes = (1.0, 1.5, 0.8)
    found = measure_quality(windows_scene(tmp_path, sizes, metric=True))
    assert found.values["drift"] == pytest.approx(np.std(np.log(sizes)) / np.sqrt(2), rel=1e-3)


def test_a_film_that_is_flat_says_nothing_of_its_scale(tmp_path: Path) -> None:
    # A black first frame alone leaves the frames that neighbours share.
    dark = measure_quality(windows_scene(tmp_path / "dark", (0.0, 0.0, 0.0)))
    assert dark.values["drift"] == pytest.approx(0, abs=1e-5)
    flat = measure_quality(windows_scene(tmp_path / "flat", (1.0, 1.0), flat=True))
    assert flat.values["drift"] is None and "flat" in flat.why["drift"]


def test_what_has_no_depth_is_counted_over_what_was_seen(tmp_path: Path) -> None:
    holes = measure_quality(make_scene(tmp_path, holes=12)).values["invalid"]
    assert holes == pytest.approx(12 / (WIDTH * HEIGHT))


def test_bars_are_no_lost_pixels_and_missing_frames_are(tmp_path: Path) -> None:
    video = make_clip(tmp_path / "a.mp4", range(10))
    scene = Scene(tmp_path / "scene")
    plan = split(video, scene, PlanSettings(chunks=1, crop="0,8,80,32"))
    quantizer, bars = Quantizer.for_range(0, 1), 16 * 80
    record = DepthRecord(quantizer, 10, 80, 48, picture=scene.picture().to_json(), invalid_pixels=10 * bars)
    assert invalid_share(scene, plan, record) == 0
    assert invalid_share(scene, plan, replace(record, invalid_pixels=10 * bars + 64)) == 64 / (10 * 32 * 80)
    # Of a frame that is missing the record counts no pixels.
    lost = replace(record, invalid_pixels=8 * bars, missing_frames=[2, 3])
    assert invalid_share(scene, plan, lost) == 0.2
    # Metres out of range are code 0; inverse depth takes the nearest code.
    assert invalid_share(scene, plan, replace(record, clipped=64)) == 0
    metric = replace(record, clipped=64, quantizer=Quantizer.millimetres())
    assert invalid_share(scene, plan, metric) == 64 / (10 * 32 * 80)


def test_codes_are_those_of_the_middle(tmp_path: Path) -> None:
    plain = measure_quality(make_scene(tmp_path / "0", change=0)).values
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    low, high = np.percentile(0.1 * y + 0.02 * x, (2, 98))
    assert plain["codes"] == pytest.approx((high - low) / RISE * (MAX_CODE - 1), rel=5e-3)
    near = measure_quality(make_scene(tmp_path / "1", change=0, nearest=100)).values
    # One pixel takes the range, and leaves the others a few codes of it.
    assert near["codes"] == pytest.approx((high - low) / (RISE + 100) * (MAX_CODE - 1), rel=5e-3)
    assert near["codes_share"] == pytest.approx((near["codes"] or 0) / MAX_CODE)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("seam>1.5", True), ("seam>2", False), ("seam >= 2", True), ("seam<2", False), (" seam<=2 ", True),
        ("seam==2", True), ("seam!=2", False), ("invalid>1%", True), ("invalid>0.02", False),
        ("invalid>=2 %", True),         ("codes<4.1e3", True), ("codes<.5", False),
    ],
)  # fmt: skip
def test_conditions_hold_or_not(text: str, holds: bool) -> None:
    quality = Quality({"seam": 2.0, "invalid": 0.02, "codes": 4096}, {})
    assert bool(list(met([Condition.parse(text)], quality.to_json()))) == holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seam",
        "seam>",
        ">1.5",
        "seam=1.5",
        "seam=>1.5",
        "seam>1.5>1",
        "seam>nan",
        "seam>inf",
        "seam>a",
        "1<seam",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no condition"):
        Condition.parse(text)


def test_unknown_figures_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no figure called seams.*seam, seam_median"):
        Condition.parse("seams>1")


def test_what_could_not_be_measured_does_not_pass() -> None:
    quality = Quality({"drift": None}, {"drift": "the windows are gone"})
    [sentence] = met([Condition.parse("drift>1")], quality.to_json())
    assert "could not be measured (the windows are gone)" in sentence


def test_the_command_sifts_scenes(tmp_path: Path) -> None:
    scenes = [make_scene(tmp_path / "0"), stepped(make_scene(tmp_path / "1"), 0.45)]
    names = [str(scene.root) for scene in scenes]
    good = CliRunner().invoke(command, [names[0], "--json", "-q", "--fail-if", "seam>1.5"])
    assert good.exit_code == 0, good.output
    one = json.loads(good.stdout)
    assert set(FIGURES) < set(one) and one["report"] == str(scenes[0].report_path) and one["failed"] == []
    several = [*names, str(tmp_path / "none")]
    result = CliRunner().invoke(
        command, [*several, "--json", "-q", "--fail-if", "seam>1.5", "--fail-if", "invalid>0"]
    )
    assert result.exit_code == 1
    told = json.loads(result.stdout)["scenes"]
    assert [bool(scene["failed"]) for scene in told] == [False, True, True]
    assert "seam is 10" in told[1]["failed"][0] and "is not a scene" in told[2]["failed"][0]
    text = CliRunner().invoke(command, [*names, "-q", "--fail-if", "drift>0.1"])
    assert text.exit_code == 1 and text.output.count("could not be measured") == 2
    page = scenes[1].report_path.read_text()
    assert "<h2>In figures</h2>" in page and all(f"<td>{name}</td>" in page for name in FIGURES)


def test_an_index_that_is_a_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    named = [str(tmp_path / "none"), "--index", str(tmp_path), "--overwrite"]
    result = CliRunner().invoke(command, named)
    assert result.exit_code == 2 and "is a folder" in result.output and "not a scene" not in result.output


@pytest.mark.parametrize("condition", ["seems>1", "seam>>1"])
def test_conditions_are_read_before_anything_is_done(tmp_path: Path, condition: str) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "none"), "--fail-if", condition])
    assert result.exit_code == 2 and "not a scene" not in result.output and not list(tmp_path.iterdir())


def test_help_names_every_figure() -> None:
    words = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert f"Figures: {', '.join(FIGURES)}." in words
