"""Every format that merged depth is written in: read back here and by other readers, and by half a step right."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest
from clips import make_clip
from pictures import read_codes
from reporters import Steps

import vda.merging.frames
from vda.depthmaps.source import open_depth
from vda.errors import InputError, UsageError
from vda.merging.outputs import FORMATS, Outputs
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.merging.target import MergedFrame
from vda.scene.chunks import plan_independent
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split
from vda.video import index_frames, probe, read_frames

FRAMES, WIDTH, HEIGHT = 24, 50, 34
TIMES = [2 * index + index // 5 for index in range(FRAMES)]  # of a variable rate


def depth_of(index: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    values = 1 + 0.1 * y + 0.03 * x + 0.2 * np.sin(x / 5 + index / 3)
    values[3:6, 2 * (index % 9) : 2 * (index % 9) + 4] = np.nan
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"

    def picture(number: int) -> np.ndarray:
        return np.full((HEIGHT, WIDTH, 3), 5 * number, np.uint8)

    return make_clip(path, range(FRAMES), draw=picture, pts=TIMES, time_base=Fraction(1, 30))


def make_scene(root: Path, video: Path) -> Scene:
    """A scene whose chunks another program computed."""
    scene = Scene(root)
    plan = split(video, scene, PlanSettings(chunks=2, chunking="independent", overlap=6))
    assert plan == plan_independent(FRAMES, 2, 6)
    scene.depths_dir.mkdir()
    for chunk in plan.chunks:
        stack = np.stack([depth_of(index) for index in range(chunk.start, chunk.stop)])
        np.savez(scene.depths_dir / f"chunk_{chunk.index:02d}_depths.npz", depths=stack)
    return scene


@pytest.fixture(scope="module")
def merged(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = make_scene(tmp_path_factory.mktemp("all") / "scene", video)
    merge(scene, MergeSettings(formats=FORMATS, create_video=True, side_by_side=True))
    return scene.merged_dir


def errors(path: Path) -> np.ndarray:
    """The differences from the depth that went in, where there is any."""
    source = open_depth(path)
    assert list(source.frames) == list(range(FRAMES))
    found = np.stack([source.read(index) for index in range(FRAMES)])
    truth = np.stack([depth_of(index) for index in range(FRAMES)])
    assert (np.isnan(found) == np.isnan(truth)).all()
    return np.abs(found - truth)[np.isfinite(truth)]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        (".", lambda record: record["scale"]),
        ("depth.mkv", lambda record: record["scale"]),
        ("png8", lambda record: record["levels"]["png8"]["scale"]),
        ("depths.npz", lambda record: 0),
        ("depths.npy", lambda record: 0),
        ("exr", lambda record: 0),
    ],
)
def test_a_format_comes_back_to_within_half_its_step(
    merged: Path, name: str, step: Callable[[dict], float]
) -> None:
    record = json.loads((merged / "depth.json").read_text())
    assert errors(merged / name).max() <= 0.5001 * step(record) + 1e-4  # the fit of two equal chunks, in float32


def test_png8_has_steps_of_a_254th_of_the_range(merged: Path) -> None:
    record = json.loads((merged / "depth.json").read_text())
    truth = np.stack([depth_of(index) for index in range(FRAMES)])
    expected = (np.nanmax(truth) - np.nanmin(truth)) / 254
    assert record["levels"]["png8"]["scale"] == pytest.approx(expected, rel=1e-3)
    image = read_codes(merged / "png8" / "depth_000003.png")
    assert (image.dtype, image.shape) == (np.uint8, (HEIGHT, WIDTH))


@pytest.mark.parametrize("name", ["depth_hevc.mp4", "depth_h264.mp4"])
def test_small_videos_are_near(merged: Path, name: str) -> None:
    source = open_depth(merged / name)
    for index in (0, 11, 23):
        truth = depth_of(index)
        found = source.read(index)
        well_inside = cv2.erode(np.isfinite(truth).astype(np.uint8), np.ones((5, 5))) > 0
        assert np.median(np.abs(found - truth)[well_inside & np.isfinite(found)]) < 0.01 * np.nanmax(truth)
        assert np.isnan(found[4, 2 * (index % 9) + 1])


def test_other_programs_read_them(merged: Path) -> None:
    codes = read_codes(merged / "depth_000007.png")
    with OpenEXR.File(str(merged / "exr" / "depth_000007.exr"), separate_channels=True) as file:
        assert list(file.channels()) == ["Z"]
        assert file.channels()["Z"].pixels.dtype == np.float32
    assert np.load(merged / "depths.npy", mmap_mode="r").shape == (FRAMES, HEIGHT, WIDTH)
    with av.open(str(merged / "depth.mkv")) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "ffv1"
    assert len(frames) == FRAMES
    assert (frames[7] == codes).all()


def test_exr_with_the_frame_below_its_depth(video: Path, tmp_path: Path) -> None:
    """Nuke and Blender show R, G and B; a file with Z alone looks black there."""
    scene = make_scene(tmp_path / "scene", video)
    settings = MergeSettings(formats=("png16", "exr"), exr="rgb", exr_layer="depth", exr_type="half")
    result = merge(scene, settings)
    assert any("half floats" in remark for remark in result.remarks)
    info = probe(video)
    frames = [frame.rgb for frame in read_frames(info, index_frames(info), 0, FRAMES)]
    for number in (0, 7, FRAMES - 1):
        with OpenEXR.File(
            str(scene.merged_dir / "exr" / f"depth_{number:06d}.exr"), separate_channels=True
        ) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
        assert list(channels) == ["B", "G", "R", "depth.Z"]
        value = frames[number][9, 9, 0] / 255  # grey: the frame's number times 5, as the codec has it
        light = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        assert float(channels["R"][9, 9]) == pytest.approx(light, rel=1e-3, abs=1e-6)
        found, truth = channels["depth.Z"].astype(np.float32), depth_of(number)
        assert (np.isnan(found) == np.isnan(truth)).all()
        assert np.nanmax(np.abs(found / truth - 1)) < 2**-10
    first = (scene.merged_dir / "exr" / "depth_000000.exr").read_bytes()
    merge(scene, replace(settings, overwrite=True, exr="none"))
    assert len((scene.merged_dir / "exr" / "depth_000000.exr").read_bytes()) < len(first)


def test_an_interrupted_merge_with_colours_goes_on_where_it_was(video: Path, tmp_path: Path) -> None:
    scene, whole = make_scene(tmp_path / "scene", video), make_scene(tmp_path / "whole", video)
    settings = MergeSettings(formats=("exr",), exr="rgb")
    with pytest.raises(Killed):
        merge(scene, settings, reporter=killed_after(10))
    merge(scene, settings)
    merge(whole, settings)
    assert contents(scene.merged_dir) == contents(whole.merged_dir)


def test_exr_that_cannot_be_written_as_asked_is_refused_before_the_work(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="without EXR"):
        MergeSettings(exr_layer="depth")
    with pytest.raises(UsageError, match="cannot be called"):
        MergeSettings(formats=("exr",), exr_layer="")
    scene = make_scene(tmp_path / "scene", video)
    for stack in scene.depths_dir.iterdir():
        np.savez(stack, depths=np.load(stack)["depths"] * np.float32(1e5))
    with pytest.raises(UsageError, match="half floats end at 65504"):
        merge(scene, MergeSettings(formats=("exr",), exr_type="half"))
    assert not list(scene.merged_dir.rglob("*.exr"))
    (tmp_path / "clip.mp4").write_bytes(video.read_bytes())
    gone = make_scene(tmp_path / "gone", tmp_path / "clip.mp4")
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(InputError, match="no file"):
        merge(gone, MergeSettings(formats=("exr",), exr="rgb"))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(UsageError, match="OpenEXR, which is not installed"):
        MergeSettings(formats=("exr",))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("depth_hevc.mp4", "hevc", "gray10le"),
        ("depth_h264.mp4", "h264", "yuv420p10le"),
        ("depth_visualization.mp4", "h264", "yuv420p"),
    ],
)
def test_videos_have_all_frames_at_their_times(merged: Path, name: str, codec: str, pixels: str) -> None:
    with av.open(str(merged / name)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == (codec, pixels)
        assert stream.time_base is not None
        stamps = [frame.pts for frame in container.decode(stream) if frame.pts is not None]
        times = sorted(stamp * stream.time_base for stamp in stamps)
    assert times == [Fraction(time, 30) for time in TIMES]


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("depth.mkv", "gray16le"),
        ("depth_hevc.mp4", "gray10le"),
        ("depth_h264.mp4", "yuv420p10le"),
        ("depth_visualization.mp4", "yuv420p"),
    ],
)
def test_ffprobe_says_the_same(merged: Path, name: str, pixels: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("there is no ffprobe on this machine")
    wanted = ["-show_entries", "stream=nb_read_frames,pix_fmt:frame=pts_time", "-of", "json", "-count_frames"]
    command = ["ffprobe", "-v", "error", "-select_streams", "v", *wanted, str(merged / name)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [float(frame["pts_time"]) for frame in found["frames"]] == pytest.approx(
        [time / 30 for time in TIMES], abs=1e-3
    )
    assert (found["streams"][0]["nb_read_frames"], found["streams"][0]["pix_fmt"]) == (str(FRAMES), pixels)


def test_the_visualization_has_the_frame_beside_its_depth(merged: Path) -> None:
    with av.open(str(merged / "depth_visualization.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    for index in (0, 12, 23):
        assert pictures[index].shape == (HEIGHT, 2 * WIDTH, 3)
        assert abs(pictures[index][10:30, 5:45].mean() - 5 * index) < 3
    # Nearer, at the bottom, is brighter.
    depth = pictures[12][:, WIDTH:].mean(-1)
    assert depth[30].mean() > depth[10].mean() + 30


@pytest.mark.parametrize(("codes", "beyond"), [(1000, 0), (5000, 0), (20000.0, 1)])
def test_a_depth_scale_counts_codes_to_the_metre(video: Path, tmp_path: Path, codes: float, beyond: int) -> None:
    scene = make_scene(tmp_path / "scene", video)
    result = merge(scene, MergeSettings(kind="depth", depth_scale=codes))
    image = read_codes(scene.depth_path(7))
    truth = depth_of(7)
    inside = truth * codes < 65535
    assert np.abs(image[inside] - truth[inside] * codes).max() <= 0.5 + codes * 1e-5
    assert (image[~inside] == 0).all()
    expected = sum(int((depth_of(index) * codes >= 65535.5).sum()) for index in range(FRAMES))
    record = json.loads((scene.merged_dir / "depth.json").read_text())
    assert (record["clipped"] > 0) == bool(beyond)
    assert abs(record["clipped"] - expected) <= 0.01 * expected
    assert any("out of range" in remark for remark in result.remarks) == bool(beyond)


def test_relative_depth_needs_metres_for_a_depth_scale(video: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", video)
    with pytest.raises(UsageError, match="relative"):
        merge(scene, MergeSettings(depth_scale=1000))
    merge(scene, MergeSettings(depth_scale=1000, metres=(0.5, 0.1)))
    record = json.loads((scene.merged_dir / "depth.json").read_text())
    assert (record["kind"], record["unit"], record["scale"]) == ("depth", "metre", 0.001)
    expected = 1 / (0.5 * depth_of(7) + 0.1)
    assert np.nanmax(np.abs(open_depth(scene.merged_dir).read(7) - expected)) < 0.0006


class Killed(Exception):
    pass


def killed_after(frames: int) -> Steps:
    def kill(done: int) -> None:
        if done == frames:
            raise Killed

    return Steps(kill)


def test_an_interrupted_merge_goes_on_and_gives_the_same_bytes(merged: Path, video: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", video)
    settings = MergeSettings(formats=FORMATS, create_video=True, side_by_side=True)
    for frames in (3, 11, 12):
        with pytest.raises(Killed):
            merge(scene, settings, reporter=killed_after(frames))
        assert not scene.depth_record_path.exists()
        # A kill tears the last line of the journal, too.
        journal = scene.merged_dir / "merge_journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-4])
    merge(scene, settings)
    assert contents(scene.merged_dir) == contents(merged)


NO_LINES = b"[]\n{}\n3\nnull\n" + b'{"index": 1}\n{"index": -1, "missing": 0, "invalid": 0, "clipped": 0}\n\xff\n'


@pytest.mark.parametrize("damaged", ["merge.json", "merge_journal.jsonl"])
@pytest.mark.parametrize("data", [b"[]", b"{}", b"\xff", NO_LINES], ids=["list", "object", "no text", "lines"])
def test_an_interrupted_merge_with_damaged_notes_gives_the_same_bytes(
    video: Path, tmp_path: Path, damaged: str, data: bytes
) -> None:
    scene = make_scene(tmp_path / "scene", video)
    merge(scene, MergeSettings())
    whole = contents(scene.merged_dir)
    scene.depth_record_path.unlink()
    (scene.merged_dir / damaged).write_bytes(data)
    merge(scene, MergeSettings())
    assert contents(scene.merged_dir) == whole


def test_a_finished_merge_whose_record_is_damaged_is_refused_and_can_be_made_anew(
    video: Path, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene", video)
    scene.merged_dir.mkdir(parents=True)
    for text in ("[]", "{}", "\xff"):
        scene.depth_record_path.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"depth\.json"):
            merge(scene, MergeSettings(keep_finished=True))
    assert merge(scene, MergeSettings(overwrite=True)).frames == FRAMES


def test_a_merge_killed_at_any_moment_gives_the_same_bytes(merged: Path, video: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", video)
    settings = MergeSettings(formats=("png16", "png8", "npz", "mkv"), keep_finished=True)
    random = np.random.default_rng(3)
    killed = sum(merged_by_a_child(scene, settings, float(random.uniform(0.001, 0.3))) for _ in range(20))
    merge(scene, settings)
    assert killed > 0
    found, whole = contents(scene.merged_dir), contents(merged)
    # Those two name the formats as well, and here there are fewer of them.
    records = ("depth.json", "merge.json")
    same = [name for name in found if name not in records and not Path(name).name.startswith(".tmp-")]
    assert len(same) == 2 * FRAMES + 2
    assert [name for name in same if found[name] != whole[name]] == []


def merged_by_a_child(scene: Scene, settings: MergeSettings, seconds: float) -> bool:
    """Merge in a process that an alarm ends without a chance to clear up; return whether it was ended so."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            merge(scene, settings)
            os._exit(0)
        finally:
            os._exit(1)  # never back into the test, whatever went wrong
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def test_frames_that_are_there_are_not_made_again(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(tmp_path / "scene", video)
    with pytest.raises(Killed):
        merge(scene, MergeSettings(kind="depth", depth_scale=20000), reporter=killed_after(10))
    made: list[int] = []
    write = vda.merging.frames.Outputs.write_images

    def noted(outputs: Outputs, frame: MergedFrame) -> None:
        made.append(frame.index)
        write(outputs, frame)

    monkeypatch.setattr(vda.merging.frames.Outputs, "write_images", noted)
    merge(scene, MergeSettings(kind="depth", depth_scale=20000, create_video=True))
    assert sorted(made) == list(range(10, FRAMES))
    again = make_scene(tmp_path / "again", video)
    merge(again, MergeSettings(kind="depth", depth_scale=20000, create_video=True))
    assert contents(scene.merged_dir) == contents(again.merged_dir)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by name, apart from the folder the chunks came from, which ``depth.json`` names.

    Of lossy videos the frames count: x264 gives other bytes for equal pictures now and then, on one thread too.
    """
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for clip in folder.glob("*.mp4"):
        found[clip.name] = str(len(index_frames(probe(clip)))).encode()
    record = json.loads(found["depth.json"])
    record["settings"].pop("depth_dir")
    return {**found, "depth.json": json.dumps(record).encode()}


def test_a_folder_with_a_record_alone_is_no_depth(merged: Path, tmp_path: Path) -> None:
    (tmp_path / "depth.json").write_bytes((merged / "depth.json").read_bytes())
    with pytest.raises(InputError, match="no depth"):
        open_depth(tmp_path)


def test_a_format_that_does_not_exist_is_refused_before_anything_is_removed() -> None:
    with pytest.raises(UsageError, match="no format called png17"):
        MergeSettings(formats=("png16", "png17"))
