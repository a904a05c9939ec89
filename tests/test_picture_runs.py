"""Pictures that are not as they are stored, through whole stages: the same depth in any chunks, and data sets."""

import json
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from data_sets import log_of, pictures, scaled, table
from depth_runs import INPUT_SIZE, depth_digest, make_weights

import vda
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale
from vda.picture.signal import Deinterlace
from vda.reporter import Silence
from vda.scene.scene import Scene
from vda.video import read_frames

FRAMES = 46
MIRROR = (-1, 0, 0, 1)
WIDE = Fraction(2, 1)


def sliding(time: int) -> np.ndarray:
    """A bright bar on the left that slides to the right, 3 pixels a field, on grey: uint8 [48, 80, 3]."""
    rgb = np.full((48, 80, 3), 60, np.uint8)
    left = 4 + 3 * time % 30
    rgb[8:40, left : left + 6] = 220
    return rgb


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interlaced, stored mirrored, with pixels twice as wide as high: shown as 160x48, the bar on the left."""
    path = tmp_path_factory.mktemp("odd") / "odd.mp4"

    def stored(number: int) -> np.ndarray:
        return clips.woven(sliding, number)[:, ::-1]

    options = {"x264-params": "bff=1:keyint=12", "crf": "8"}
    clips.make_clip(path, range(FRAMES), draw=stored, options=options, pixel_aspect=WIDE)
    clips.orient(path, MIRROR)
    return path


def combs(rgb: np.ndarray) -> float:
    lines = rgb[10:38, :, 0].astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def test_depth_is_the_same_in_any_chunks_and_says_how_it_is_shown(odd: Path, tmp_path: Path) -> None:
    weights = make_weights(tmp_path / "w.safetensors")
    for chunks in (1, 2):
        vda.depth(
            odd, tmp_path / str(chunks), model="mini", weights=weights, input_size=INPUT_SIZE, devices="cpu",
            on="inline", threads=1, chunks=chunks,
        )  # fmt: skip
    assert depth_digest(tmp_path / "1") == depth_digest(tmp_path / "2")
    scene = Scene(tmp_path / "1")
    record = json.loads(scene.depth_record_path.read_text())
    assert (record["width"], record["height"], record["pixel_aspect"]) == (80, 48, "2")
    with av.open(str(scene.merged_dir / "depth_visualization.mp4")) as shown:
        assert shown.streams.video[0].sample_aspect_ratio == WIDE
        assert shown.streams.video[0].frames == FRAMES
    frame = next(read_frames(*scene.film(), 20, 21)).rgb
    assert combs(frame) < 2
    assert frame[:, :40].mean() > frame[:, 40:].mean() + 5


def test_scaled_videos_are_whole_upright_and_in_the_shape_that_is_displayed(odd: Path, tmp_path: Path) -> None:
    metadata = table(tmp_path / "videos.csv", [{"video_path": str(odd), "label": "real"}])
    choices: tuple[Deinterlace, ...] = ("auto", "off")
    for deinterlace in choices:
        folder = tmp_path / deinterlace
        settings = ScaleSettings(size=160, method="resize", deinterlace=deinterlace)
        scale(metadata, folder, settings, reporter=Silence())
        row = scaled(folder)[0]
        assert (row["width"], row["height"], row["frames"]) == ("160", "48", str(FRAMES))
        made = pictures(folder / row["video_path"])[20]
        assert made[:, :80].mean() > made[:, 80:].mean() + 5
        assert (combs(made) < 3) == (deinterlace == "auto")
    said = " ".join(message for _, _, message in log_of(tmp_path / "auto"))
    assert "mirrored" in said and "bwdif" in said and "160x48" in said
