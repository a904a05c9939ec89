"""Independent chunks end to end: planned, cut out as clips, computed, and blended into one video."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import number_in
from depth_runs import check, depth_digest, make_video, make_weights, run_options, vda_here

from vda.depthmaps.source import open_depth
from vda.scene.scene import Scene
from vda.video import index_frames, probe, read_frames

FRAMES = 60
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", FRAMES)


def tool(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOLS / name, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def numbers_in(clip: Path) -> list[int]:
    info = probe(clip)
    index = index_frames(info)
    return [number_in(frame.rgb) for frame in read_frames(info, index, 0, len(index))]


def test_independent_chunks_become_one_video(video: Path, tmp_path: Path) -> None:
    weights = make_weights(tmp_path / "mini.safetensors")
    scene = tmp_path / "scene"
    options = [*run_options(weights), "--devices", "cpu", "--on", "inline", "--no-video", "-q"]
    plan = ["--chunking", "independent", "--chunks", 2, "--overlap", 8]
    check(vda_here("depth", video, "--scene", scene, *plan, *options, "--format", "png16", "--format", "npz"))
    assert len(depth_digest(scene)) == FRAMES
    record = json.loads((scene / "vda_merged_depth" / "depth.json").read_text())
    (shot,) = record["shots"]
    assert [(chunk["start_frame"], chunk["end_frame"]) for chunk in shot["chunks"]] == [(0, 34), (26, 60)]
    depth = np.load(scene / "vda_merged_depth" / "depths.npz")["depths"]
    assert np.isfinite(depth).all()
    # Where one chunk hands over to the other, nothing jumps more than it does elsewhere.
    steps = [float(np.abs(after - before).mean()) for before, after in pairwise(depth)]
    assert max(steps[25:35]) < 3 * float(np.median(steps))


def test_clips_hold_exactly_the_chunks_frames(video: Path, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene")
    check(
        vda_here(
            "split", video, "--scene", scene.root, "--chunks", 3, "--overlap", 6, "--extract", "--devices", "cpu"
        )
    )
    plan = scene.plan()
    assert plan.chunking == "independent"
    for chunk in plan.chunks:
        clip = scene.clips_dir / f"chunk_{chunk.index:02d}.mp4"
        assert numbers_in(clip) == list(range(chunk.start, chunk.stop))


@pytest.mark.parametrize("wrong", [["--extract", "--chunking", "linked"], ["--overlap", "8"]])
def test_linked_chunks_are_neither_extracted_nor_overlapped(video: Path, tmp_path: Path, wrong: list[str]) -> None:
    refused = vda_here("split", video, "--scene", tmp_path / "scene", "--devices", "cpu", *wrong)
    assert refused.returncode == 2
    assert "inked chunks" in refused.stderr


def test_the_classic_scripts_take_a_video_to_merged_depth(video: Path, tmp_path: Path) -> None:
    check(
        tool("split_video_chunks.py", "--input", video, "--output_dir", tmp_path, "--num_gpus", 3, "--overlap", 6)
    )
    metadata = tmp_path / "chunks_metadata.json"
    chunks = json.loads(metadata.read_text())["chunks"]
    check(tool("extract_video_chunks.py", "--metadata", metadata, "--output_dir", tmp_path / "clips"))
    depths = tmp_path / "depths"
    depths.mkdir()
    y, x = np.mgrid[:48, :80].astype(np.float32)
    for chunk in chunks:
        # Another program: its depth of a frame is a slope, and as much more as the frame's number says.
        numbers = numbers_in(tmp_path / "clips" / f"chunk_{chunk['chunk_id']:02d}.mp4")
        stack = np.stack([x + y + number for number in numbers])
        np.savez_compressed(depths / f"chunk_{chunk['chunk_id']:02d}_depths.npz", depth=stack)
    out = tmp_path / "merged"
    common = ["--metadata", metadata, "--depth_dir", depths, "--output_dir", out]
    check(tool("merge_depth_chunks.py", *common, "--format", "png16", "--create_video"))
    source = open_depth(out)
    assert list(source.frames) == list(range(FRAMES))
    assert all(np.abs(source.read(n) - (x + y + n)).max() < 0.01 for n in (0, 19, 20, 21, 40, 59))
    assert len(index_frames(probe(out / "depth_visualization.mp4"))) == FRAMES
    (depths / "chunk_01_depths.npz").unlink()
    refused = tool("merge_depth_chunks.py", *common, "--overwrite")
    assert refused.returncode == 2
    assert "chunk 1 " in refused.stderr
