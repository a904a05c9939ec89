"""Images through the whole program: depth by their numbers, the same as of the same pictures in a container."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from clips import make_clip, picture
from depth_runs import make_weights, run_options
from pictures import read_codes
from stills import make_folder

from vda.cli import main
from vda.files import read_json

NUMBERS = [1001, 1002, 1003, 1005, *range(1010, 1050)]


def _vda(*arguments: object) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")


@pytest.fixture(scope="module")
def depth_options(weights: Path) -> list[object]:
    return [*run_options(weights), "--devices", "cpu", "--on", "inline", "-q"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, depth_options: list[object]) -> Path:
    place = tmp_path_factory.mktemp("scene")
    make_folder(place / "frames", NUMBERS)
    options = ["--fps", 24, "--chunks", 2, "--format", "png16", "--format", "npy"]
    _vda("depth", place / "frames" / "shot.%04d.png", "--scene", place / "scene", *options, *depth_options)
    return place / "scene"


def test_depth_has_the_images_numbers_everywhere(scene: Path) -> None:
    merged = scene / "vda_merged_depth"
    names = sorted(path.name for path in merged.glob("depth_*.png"))
    assert names == [f"depth_{number:06d}.png" for number in NUMBERS]
    record = read_json(merged / "depth.json")
    assert (record["frames"], record["frame_indices"], record.get("thinning")) == (len(NUMBERS), NUMBERS, None)
    assert [(shot["start_frame"], shot["end_frame"]) for shot in record["shots"]] == [(1001, 1050)]
    plan = read_json(scene / "vda_chunks" / "chunks_metadata.json")
    assert (plan["video_info"]["total_frames"], plan["video_info"]["fps"]) == (len(NUMBERS), 24)
    assert "frame 1001" in (scene / "report.html").read_text()


def test_depth_is_that_of_the_same_pictures_in_a_container(
    scene: Path, tmp_path: Path, depth_options: list[object]
) -> None:
    film = make_clip(
        tmp_path / "film.mkv",
        NUMBERS,
        draw=lambda number: picture(number, 80, 48),
        codec="ffv1",
        pix_fmt="bgr0",
        fps=24,
    )
    _vda("depth", film, "--scene", tmp_path / "scene", "--no-video", *depth_options)
    for place, number in enumerate(NUMBERS):
        mine = read_codes(scene / "vda_merged_depth" / f"depth_{number:06d}.png")
        assert np.array_equal(mine, read_codes(tmp_path / "scene" / "vda_merged_depth" / f"depth_{place:06d}.png"))


def test_the_visualization_leaves_the_time_of_missing_images_empty(scene: Path) -> None:
    with av.open(str(scene / "vda_merged_depth" / "depth_visualization.mp4")) as container:
        shown = [frame.time for frame in container.decode(video=0)]
    assert shown == pytest.approx((np.array(NUMBERS) - 1001) / 24, abs=1e-4)


def test_tracks_and_times_go_by_the_images_numbers(scene: Path, tmp_path: Path) -> None:
    records = [
        {"frame": f"shot.{number}", "detected": True, "confidence": 1.0, "bbox": [10, 10, 30, 30], "track_id": 1}
        for number in (1001, 1004, 1010)
    ]
    about = {
        "metadata": {"image_width": 80, "image_height": 48},
        "intrinsics": {"fx": 80, "fy": 80, "cx": 40, "cy": 24},
    }
    (tmp_path / "tracks.json").write_text(json.dumps({**about, "tracks": records}))
    output = tmp_path / "out.json"
    _vda("enrich", scene, "--tracks", tmp_path / "tracks.json", "--output", output, "--allow-relative", "-q")
    found = [record.get("vda_depth_relative") for record in json.loads(output.read_text())["tracks"]]
    assert [depth is not None for depth in found] == [True, False, True]
    import vda

    with vda.open_depth(scene) as depth:
        assert depth.times is not None
        assert depth.times[list(depth.frames).index(1010)] == pytest.approx(9 / 24)
        around = 1 / depth.frame(1010)[8:33, 8:33]
        assert around.min() <= found[2] <= around.max()


def test_cameras_and_clouds_are_of_the_images(scene: Path, tmp_path: Path) -> None:
    options = ["--fov", 60, "--every", 20, "--allow-relative", "-q"]
    _vda("export", scene, "--to", "ply", "--output", tmp_path / "clouds", *options)
    numbers = sorted(path.stem[-6:] for path in (tmp_path / "clouds").rglob("*.ply"))
    assert numbers == [f"{number:06d}" for number in NUMBERS[::20]]


def test_the_same_command_goes_on_and_other_images_are_refused(scene: Path, depth_options: list[object]) -> None:
    pattern = scene.parent / "frames" / "shot.%04d.png"
    _vda("depth", pattern, "--scene", scene, *depth_options)
    other_rate = CliRunner().invoke(
        main, ["depth", *map(str, (pattern, "--scene", scene, "--fps", 30, *depth_options))]
    )
    assert other_rate.exit_code == 2
    assert "was planned with 24 images a second, not 30" in other_rate.output
    image = scene.parent / "frames" / "shot.1003.png"
    data = image.read_bytes()
    make_folder(scene.parent / "frames", [1003], side=160)
    other = CliRunner().invoke(main, ["depth", *map(str, (pattern, "--scene", scene, *depth_options))])
    image.write_bytes(data)
    assert other.exit_code == 2
    assert "holds another video" in other.output


def test_a_range_and_a_stride_are_by_number(tmp_path: Path, depth_options: list[object]) -> None:
    make_folder(tmp_path / "frames", NUMBERS)
    options = ["--frames", "1003:1012", "--stride", 2, "--no-video", *depth_options]
    _vda("depth", tmp_path / "frames", "--scene", tmp_path / "scene", *options)
    names = sorted(path.name for path in (tmp_path / "scene" / "vda_merged_depth").glob("depth_*.png"))
    # Of 1003, 1005, 1010 and 1011 every second.
    assert names == ["depth_001003.png", "depth_001010.png"]


def test_a_stride_leaves_images_out_of_a_rate(tmp_path: Path, depth_options: list[object]) -> None:
    make_folder(tmp_path / "frames", range(1001, 1008))
    options = ["--fps", 24, "--stride", 3, *depth_options]
    _vda("depth", tmp_path / "frames", "--scene", tmp_path / "scene", *options)
    merged = tmp_path / "scene" / "vda_merged_depth"
    assert [path.name for path in sorted(merged.glob("depth_*.png"))] == [
        f"depth_{number:06d}.png" for number in (1001, 1004, 1007)
    ]
    with av.open(str(merged / "depth_visualization.mp4")) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx([0, 3 / 24, 6 / 24], abs=1e-4)


def test_a_damaged_image_has_no_depth(tmp_path: Path, depth_options: list[object]) -> None:
    folder = make_folder(tmp_path / "frames", range(5, 12))
    (folder / "shot.0008.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    _vda("depth", folder, "--scene", tmp_path / "scene", "--no-video", *depth_options)
    merged = tmp_path / "scene" / "vda_merged_depth"
    assert read_json(merged / "depth.json")["missing_frames"] == [8]
    assert not read_codes(merged / "depth_000008.png").any()
    assert read_codes(merged / "depth_000007.png").all()
