"""Films as two eyes see them: what is in the files, which players tell by, and what becomes of them later."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip
from test_merging import make_chunks

import vda.stereo.writing
from vda.errors import UsageError
from vda.merging.looks import require_views
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge
from vda.scene.scene import Scene
from vda.splitting.settings import PlanSettings
from vda.splitting.stage import split

FRAMES, WIDTH, HEIGHT = 8, 162, 64
TIMES = [3 * index + index // 3 for index in range(FRAMES)]  # of a variable rate
FILES = {
    "sbs": "stereo_3D_LRF_Full_SBS.mp4",
    "half-sbs": "stereo_3D_LR_Half_SBS.mp4",
    "cross-eyed": "stereo_cross_eyed.mp4",
    "anaglyph": "stereo_anaglyph.mp4",
}


def picture(number: int) -> np.ndarray:
    """Bars of 16 pixels on grey: white ones far in the upper half, near in the lower."""
    rgb = np.full((HEIGHT, WIDTH, 3), 60 + number, np.uint8)
    rgb[:, 64:80] = 230
    return rgb


def inverse_depth(index: int) -> np.ndarray:
    values = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    values[HEIGHT // 2 :] = 3.0
    values[0, : index + 1] = np.nan
    return values


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stereo") / "clip.mp4"
    return make_clip(path, range(FRAMES), draw=picture, pts=TIMES, time_base=Fraction(1, 30))


def make_scene(root: Path, clip: Path, scale: float = 1.0) -> Scene:
    """A scene of depth that another program made."""
    scene = Scene(root)
    plan = split(clip, scene, PlanSettings(chunks=1, chunking="independent"))
    write_depth(scene, scale)
    assert len(plan.chunks) == 1
    return scene


def write_depth(scene: Scene, scale: float) -> None:
    scene.depths_dir.mkdir(exist_ok=True)
    stack = np.stack([inverse_depth(index) for index in range(FRAMES)])
    np.savez(scene.depths_dir / "chunk_00_depths.npz", depths=stack * scale)


@pytest.fixture(scope="module")
def everything(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = make_scene(tmp_path_factory.mktemp("all") / "scene", clip)
    merge(scene, MergeSettings(formats=tuple(FILES), parallax=10.0, convergence=0.0))
    return scene.merged_dir


def decoded(path: Path) -> tuple[list[np.ndarray], list[float], bytes]:
    """RGB pictures, their times, and what the stream says of 3D: FFmpeg's AVStereo3D, whose first number is 1 for
    side by side.
    """
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
    data: Any = frames[0].side_data.get("STEREO3D")
    said = b"" if data is None else bytes(data)
    return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time or 0.0 for frame in frames], said


def bar_at(row: np.ndarray) -> float:
    """The middle of the white bar in a row of pixels."""
    white = np.flatnonzero(row[:, 1] > 150)
    return float(white.mean())


def test_both_halves_show_the_bar_where_arithmetic_has_it(everything: Path) -> None:
    """10 per cent of 162 pixels lie between far and near; the farthest is in the screen."""
    pictures, _, _ = decoded(everything / FILES["sbs"])
    assert [image.shape for image in pictures] == [(HEIGHT, 2 * WIDTH, 3)] * FRAMES
    for image in pictures:
        left, right = image[:, :WIDTH], image[:, WIDTH:]
        assert bar_at(left[10]) == pytest.approx(71.5, abs=0.6)
        assert bar_at(right[10]) == pytest.approx(71.5, abs=0.6)
        assert bar_at(left[50]) == pytest.approx(71.5 + 8.1, abs=0.6)
        assert bar_at(right[50]) == pytest.approx(71.5 - 8.1, abs=0.6)


def test_half_side_by_side_is_as_wide_as_the_film_and_its_halves_are_even(everything: Path) -> None:
    pictures, _, _ = decoded(everything / FILES["half-sbs"])
    # A quarter of 162 is 40.5: each half has 82 pixels.
    assert pictures[0].shape == (HEIGHT, 164, 3)
    scale = 82 / WIDTH
    assert bar_at(pictures[3][50, :82]) == pytest.approx((71.5 + 8.1) * scale, abs=1)
    assert bar_at(pictures[3][50, 82:]) == pytest.approx((71.5 - 8.1) * scale, abs=1)


def test_cross_eyed_has_the_right_view_on_the_left(everything: Path) -> None:
    crossed, _, _ = decoded(everything / FILES["cross-eyed"])
    assert bar_at(crossed[3][50, :WIDTH]) == pytest.approx(71.5 - 8.1, abs=0.6)


def test_through_red_glass_the_near_bar_is_further_right(everything: Path) -> None:
    pictures, _, _ = decoded(everything / FILES["anaglyph"])
    red, cyan = (np.flatnonzero(pictures[3][50, :, channel] > 150).mean() for channel in (0, 2))
    assert pictures[0].shape == (HEIGHT, WIDTH, 3)
    assert red - cyan == pytest.approx(16.2, abs=2.5)  # colours are stored for pairs of pixels


@pytest.mark.parametrize("form", FILES)
def test_times_are_the_films_and_the_stream_says_what_it_is(everything: Path, form: str) -> None:
    _, times, said = decoded(everything / FILES[form])
    assert times == pytest.approx([tick / 30 for tick in TIMES], abs=1e-3)
    # What is no pair of left and right must not be shown as one.
    assert int.from_bytes(said[:4], "little") == (1 if form in ("sbs", "half-sbs") else 0)


def test_the_record_says_how_they_were_made_and_what_had_no_depth(everything: Path) -> None:
    record = json.loads((everything / "depth.json").read_text())
    assert record["formats"] == ["png16", *FILES]
    for form in FILES:
        made = record["settings"]["stereo"][form]
        assert (made["parallax"], made["convergence"], made["eyes"]) == (10.0, 0.0, "both")
        assert (made["far"], made["near"]) == pytest.approx((1.0, 3.0), abs=1e-3)
    pixels = sum(range(1, FRAMES + 1))
    assert any(sentence.startswith(f"{pixels} pixels without depth:") for sentence in record["remarks"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forget_chunks(scene: Scene) -> None:
    for path in scene.depths_dir.iterdir():
        path.unlink()
    scene.depths_dir.rmdir()


def test_made_later_of_images_it_is_the_same_bytes_as_made_with_them(clip: Path, tmp_path: Path) -> None:
    at_once = make_scene(tmp_path / "once", clip)
    merge(at_once, MergeSettings(formats=("png16", "sbs")))
    later = make_scene(tmp_path / "later", clip)
    merge(later, MergeSettings())
    forget_chunks(later)
    result = merge(later, MergeSettings(formats=("sbs",)))
    assert any("windows are gone" in sentence for sentence in result.remarks)
    both = [contents(scene.merged_dir) for scene in (at_once, later)]
    assert both[0][FILES["sbs"]] == both[1][FILES["sbs"]]
    assert both[0].keys() == both[1].keys()


def test_another_parallax_takes_the_place_of_the_view_alone_even_where_windows_are_gone(
    clip: Path, tmp_path: Path
) -> None:
    scene = make_scene(tmp_path / "scene", clip)
    merge(scene, MergeSettings(formats=("sbs", "anaglyph")))
    before = contents(scene.merged_dir)
    forget_chunks(scene)
    with pytest.raises(UsageError, match="another parallax"):
        merge(scene, MergeSettings(formats=("sbs",), parallax=4.0))
    assert contents(scene.merged_dir) == before
    result = merge(scene, MergeSettings(formats=("sbs",), parallax=4.0, overwrite=True))
    assert any("depth stays" in sentence for sentence in result.remarks)
    after = contents(scene.merged_dir)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {FILES["sbs"], "depth.json", "merge.json"} and after.keys() == before.keys()
    made = json.loads(after["depth.json"])
    assert made["formats"] == ["png16", "sbs", "anaglyph"]
    assert [made["settings"]["stereo"][form]["parallax"] for form in ("sbs", "anaglyph")] == [4.0, 2.0]
    with pytest.raises(UsageError, match="there already"):
        merge(scene, MergeSettings(formats=("sbs", "anaglyph")))


def test_a_view_that_is_gone_is_made_again(clip: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", clip)
    merge(scene, MergeSettings(formats=("sbs",)))
    before = contents(scene.merged_dir)
    (scene.merged_dir / FILES["sbs"]).unlink()
    merge(scene, MergeSettings(formats=("sbs",)))
    assert contents(scene.merged_dir)[FILES["sbs"]] == before[FILES["sbs"]]


def test_depth_made_anew_makes_the_views_anew_as_they_were(clip: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", clip)
    merge(scene, MergeSettings(formats=("sbs",), parallax=5.0))
    write_depth(scene, 2.0)
    result = merge(scene, MergeSettings(overwrite=True))
    assert any(sentence.startswith("sbs was there") for sentence in result.remarks)
    made = json.loads((scene.merged_dir / "depth.json").read_text())["settings"]["stereo"]["sbs"]
    assert made["parallax"] == 5.0 and (made["far"], made["near"]) == pytest.approx((2.0, 6.0), abs=1e-3)


def test_the_left_view_is_the_frame_itself_where_the_right_one_alone_is_made(clip: Path, tmp_path: Path) -> None:
    scene = make_scene(tmp_path / "scene", clip)
    merge(scene, MergeSettings(formats=("sbs",), parallax=10.0, convergence=0.0, eyes="right"))
    pictures, _, _ = decoded(scene.merged_dir / FILES["sbs"])
    assert bar_at(pictures[2][50, :WIDTH]) == pytest.approx(71.5, abs=0.6)
    assert bar_at(pictures[2][50, WIDTH:]) == pytest.approx(71.5 - 16.2, abs=0.6)


RATE = 48_000


def with_sound(path: Path, seconds: float, flash_s: float, codec: str, start_s: float = 0.0) -> Path:
    """A film of 25 frames a second that flashes once, with a click then; its clock begins at ``start_s``."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio: Any = container.add_stream(codec, rate=RATE)
        audio.layout = "mono"
        for number in range(round(25 * seconds)):
            lit = abs(number / 25 - flash_s) < 0.01
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 255 if lit else 30, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + round(25 * start_s), Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        heard = np.zeros(round(RATE * seconds), np.float32)
        heard[round(RATE * flash_s) :][: RATE // 25] = np.sin(np.arange(RATE // 25) * 0.5)
        for start in range(0, len(heard), 1024):
            part = heard[None, start : start + 1024]
            samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            samples.sample_rate, samples.time_base = RATE, Fraction(1, RATE)
            samples.pts = round(RATE * start_s) + start
            container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    return path


def flash_and_click(path: Path) -> tuple[float, float]:
    """When the picture is brightest, and when something is first heard, in seconds."""
    with av.open(str(path)) as container:
        frames = [
            (float(frame.time or 0), frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        sound = [(float(part.time or 0), part.to_ndarray()) for part in container.decode(audio=0)]
    loud = [
        time + int(np.argmax(np.abs(heard[0]) > 0.3)) / RATE for time, heard in sound if np.abs(heard).max() > 0.3
    ]
    return max(frames, key=lambda frame: frame[1])[0], loud[0]


def flat_scene(root: Path, film: Path, **plan: Any) -> Scene:
    scene = Scene(root)
    [chunk] = split(film, scene, PlanSettings(chunks=1, chunking="independent", **plan)).chunks
    scene.depths_dir.mkdir()
    ramp = np.tile(np.linspace(1, 2, 96, dtype=np.float32), (chunk.stop - chunk.start, 64, 1))
    np.savez(scene.depths_dir / "chunk_00_depths.npz", depths=ramp)
    return scene


@pytest.mark.parametrize(("frames", "suffix"), [(None, "mkv"), ((20, 60), "mp4"), ((100, 140), "ts")])
def test_the_click_is_heard_when_the_flash_is_seen(
    tmp_path: Path, frames: tuple[int, int] | None, suffix: str
) -> None:
    first, end = frames or (0, 160)
    film = with_sound(tmp_path / f"film.{suffix}", 6.4, first / 25 + 0.8, "aac", start_s=0.4)
    seen, heard = flash_and_click(film)
    assert heard == pytest.approx(seen, abs=0.03)
    scene = flat_scene(tmp_path / "scene", film, frames=frames)
    merge(scene, MergeSettings(formats=("sbs", "anaglyph")))
    for form in ("sbs", "anaglyph"):
        seen, heard = flash_and_click(scene.merged_dir / FILES[form])
        assert seen == pytest.approx(0.8, abs=0.01)
        assert heard == pytest.approx(seen, abs=0.03)
        with av.open(str(scene.merged_dir / FILES[form])) as container:
            sound: Any = container.streams.audio[0]
            lasts = sound.duration * sound.time_base
            assert lasts == pytest.approx((end - first) / 25, abs=0.05)


def test_a_sound_that_mp4_does_not_hold_is_left_out_and_named(tmp_path: Path) -> None:
    film = with_sound(tmp_path / "film.mkv", 0.4, 0.2, "pcm_s16le")
    scene = flat_scene(tmp_path / "scene", film)
    result = merge(scene, MergeSettings(formats=("sbs",)))
    assert any("pcm_s16le" in sentence for sentence in result.remarks)
    with av.open(str(scene.merged_dir / FILES["sbs"])) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_the_number_of_threads_changes_no_byte(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for cores in (1, 5):
        monkeypatch.setattr(vda.stereo.writing.os, "cpu_count", lambda cores=cores: cores)
        scene = make_scene(tmp_path / str(cores), clip)
        merge(scene, MergeSettings(formats=("sbs",)))
        files.append((scene.merged_dir / FILES["sbs"]).read_bytes())
    assert files[0] == files[1]


def test_a_view_that_fails_leaves_no_video_and_the_next_merge_goes_on(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(tmp_path / "scene", clip)
    merge(scene, MergeSettings())
    real, counted = vda.stereo.writing.both_views, iter(range(100))

    def fail(*arguments: Any) -> Any:
        if next(counted) == 4:
            raise MemoryError
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(vda.stereo.writing, "both_views", fail)
        with pytest.raises(MemoryError):
            merge(scene, MergeSettings(formats=("sbs",)))
    assert not list(scene.root.rglob("*.mp4"))
    assert json.loads((scene.merged_dir / "depth.json").read_text())["formats"] == ["png16"]
    merge(scene, MergeSettings(formats=("sbs",)))
    assert len(decoded(scene.merged_dir / FILES["sbs"])[0]) == FRAMES
    assert not list(scene.merged_dir.glob(".*"))


def test_what_makes_no_sense_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of no use"):
        MergeSettings(parallax=3.0)
    chunks = make_chunks(tmp_path, FRAMES, 2, 4, distort=False)
    with pytest.raises(UsageError, match="need the video"):
        chunks.merge(formats=("sbs",))
    assert not chunks.out.exists()


def test_views_too_wide_for_h264_are_refused_at_the_start(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "wide.mkv", range(2), draw=lambda number: np.zeros((16, 8200, 3), np.uint8))
    scene = Scene(tmp_path / "scene")
    split(film, scene, PlanSettings())
    with pytest.raises(UsageError, match="wider than"):
        require_views(scene, MergeSettings(formats=("sbs",)))
    require_views(scene, MergeSettings(formats=("half-sbs", "anaglyph")))
