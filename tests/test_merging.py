"""Depth that other programs made of chunks: brought to one scale, blended, and never moved in time."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pictures import read_codes

from vda.depthmaps.source import open_depth
from vda.errors import InputError, SceneError, UsageError
from vda.joining.align import fit_scale_shift
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge_chunks
from vda.scene.chunks import plan_independent
from vda.scene.planfile import plan_metadata

pytestmark = pytest.mark.whole

WIDTH, HEIGHT = 40, 24


@dataclass
class Chunks:
    """A plan on disk, and the folder in which another program's depth of it is."""

    metadata: Path
    depth: Path
    out: Path

    def merge(self, **settings: object) -> tuple[str, ...]:
        return merge_chunks(self.metadata, self.depth, self.out, MergeSettings(**settings)).remarks  # type: ignore[arg-type]

    def read(self, index: int) -> np.ndarray:
        return open_depth(self.out).read(index)


def scenery(index: int) -> np.ndarray:
    """Inverse depth of a frame: a floor and a thing that crosses the picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    thing = 3 * np.exp(-((x - (index % WIDTH)) ** 2 + (y - 12) ** 2) / 30)
    return 0.5 + 0.1 * y + 0.02 * x + thing


def make_chunks(
    root: Path, frames: int, chunks: int, overlap: int, seed: int = 0, *, distort: bool = True
) -> Chunks:
    """Write each chunk's depth with a scale and shift of its own, as ``chunk_00_depths.npz``."""
    plan = plan_independent(frames, chunks, overlap)
    made = Chunks(root / "chunks_metadata.json", root / "depth", root / "merged")
    made.depth.mkdir(parents=True)
    facts = {"fps": 25.0, "width": WIDTH, "height": HEIGHT}
    made.metadata.write_text(json.dumps(plan_metadata(plan, facts)))
    random = np.random.default_rng(seed)
    for chunk in plan.chunks:
        scale, shift = (random.uniform(0.5, 2), random.uniform(0, 1)) if distort else (1, 0)
        stack = np.stack([scenery(index) for index in range(chunk.start, chunk.stop)])
        np.savez(
            made.depth / f"chunk_{chunk.index:02d}_depths.npz", depths=(scale * stack + shift).astype(np.float32)
        )
    return made


def error_after_one_fit(chunks: Chunks, frames: int) -> float:
    """The mean relative error once the whole video has been given one scale and shift."""
    found = np.stack([chunks.read(index) for index in range(frames)])
    truth = np.stack([scenery(index) for index in range(frames)])
    return float(np.mean(np.abs(fit_scale_shift(found, truth).apply(found) - truth) / truth))


def test_distorted_chunks_come_back_to_one_scale(tmp_path: Path) -> None:
    plain = make_chunks(tmp_path / "plain", 120, 5, 8, distort=False)
    bent = make_chunks(tmp_path / "bent", 120, 5, 8)
    for chunks in (plain, bent):
        assert chunks.merge() == ()
    assert error_after_one_fit(bent, 120) < error_after_one_fit(plain, 120) + 0.001
    record = json.loads((bent.out / "depth.json").read_text())
    assert [record["shots"][0]["chunks"][0][key] for key in ("start_frame", "end_frame")] == [0, 30]
    assert len({round(c["scale"], 2) for c in record["shots"][0]["chunks"]}) > 1


def test_chunks_in_columns_merge_as_those_in_rows(tmp_path: Path) -> None:
    """``numpy.asfortranarray`` of the same depth: other programs store what their libraries give."""
    rows, columns = (make_chunks(tmp_path / name, 40, 2, 8) for name in ("rows", "columns"))
    for path in columns.depth.iterdir():
        np.savez(path, depths=np.asfortranarray(np.load(path)["depths"]))
    for chunks in (rows, columns):
        chunks.merge()
    for path in sorted(rows.out.glob("*.png")):
        assert path.read_bytes() == (columns.out / path.name).read_bytes()
    assert len(list(columns.out.glob("*.png"))) == 40


def test_a_chunk_with_noise_holes_and_a_thing_of_its_own_fits_within_two_percent(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 90, 3, 12)
    random = np.random.default_rng(4)
    for path in sorted(chunks.depth.iterdir()):
        depths = np.load(path)["depths"]
        depths = depths * random.normal(1, 0.02, depths.shape).astype(np.float32)
        if "01" in path.name:
            depths[:, 4:16, 10:22] += 4  # a thing that this chunk alone has: a sixth of the picture
        depths[random.random(depths.shape) < 0.2] = np.nan
        np.savez(path, depths=np.maximum(depths, 0).astype(np.float32))
    chunks.merge()
    record = json.loads((chunks.out / "depth.json").read_text())
    given = np.random.default_rng(0).uniform((0.5, 0), (2, 1), (3, 2))
    products = [c["scale"] * scale for c, (scale, _) in zip(record["shots"][0]["chunks"], given, strict=True)]
    assert max(products) / min(products) < 1.02
    assert record["invalid_pixels"] > 0


def test_every_frame_keeps_its_index(tmp_path: Path) -> None:
    """6,553 frames in 5 chunks with an overlap of 32; the depth of each frame is its number."""
    plan = plan_independent(6553, 5, 32)
    chunks = Chunks(tmp_path / "plan.json", tmp_path / "depth", tmp_path / "merged")
    chunks.depth.mkdir()
    chunks.metadata.write_text(json.dumps(plan_metadata(plan, {"fps": 30.0, "width": 4, "height": 2})))
    for chunk in plan.chunks:
        numbers = np.arange(chunk.start, chunk.stop, dtype=np.float32)[:, None, None]
        np.save(
            chunks.depth / f"chunk_{chunk.index:02d}_depths.npy", np.broadcast_to(numbers, (len(numbers), 2, 4))
        )
    chunks.merge(formats=("npy",))
    merged = np.load(chunks.out / "depths.npy")
    assert merged.shape == (6553, 2, 4)
    assert np.abs(merged - np.arange(6553)[:, None, None]).max() < 0.01


@pytest.mark.parametrize("overlap", [1, 2, 7])
def test_weights_sum_to_one_over_any_overlap(tmp_path: Path, overlap: int) -> None:
    chunks = make_chunks(tmp_path, 40, 3, overlap, distort=False)
    chunks.merge(formats=("npz",))
    for index in range(40):
        assert np.abs(chunks.read(index) - scenery(index)).max() < 1e-3


def test_without_overlap_the_hard_cut_is_said(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 40, 2, 0)
    assert chunks.merge() == (
        "Chunks without a frame in common were fitted by the last frame of the one and the first of the next, and "
        "are not blended: 0 and 1.",
    )


def test_metric_depth_gets_a_scale_alone(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 60, 3, 8, distort=False)
    for path, scale in zip(sorted(chunks.depth.iterdir()), (0.8, 1.0, 1.25), strict=True):
        np.savez(path, depth=np.load(path)["depths"] * np.float32(scale))
    chunks.merge(kind="depth")
    record = json.loads((chunks.out / "depth.json").read_text())
    assert (record["kind"], record["unit"], record["scale"]) == ("depth", "metre", 0.001)
    fits = [(c["scale"], c["shift"]) for c in record["shots"][0]["chunks"]]
    assert fits == [
        (pytest.approx(1.25, rel=1e-4), 0),
        (pytest.approx(1, rel=1e-4), 0),
        (pytest.approx(0.8, rel=1e-4), 0),
    ]
    assert np.abs(chunks.read(30) - scenery(30)).max() < 0.001


def test_missing_and_short_chunks_are_named_and_move_nothing(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 100, 4, 8, distort=False)
    (chunks.depth / "chunk_01_depths.npz").unlink()
    last = chunks.depth / "chunk_03_depths.npz"
    np.savez(last, depths=np.load(last)["depths"][:-5])
    with pytest.raises(
        InputError, match=r"chunk 1 \(frames 23:54\) is missing; chunk 3 has 26 frames instead of 31"
    ):
        chunks.merge()
    (remark,) = [remark for remark in chunks.merge(allow_gaps=True) if "frames have no" in remark]
    assert remark.startswith("20 frames")
    missing = [*range(31, 46), *range(95, 100)]
    assert json.loads((chunks.out / "depth.json").read_text())["missing_frames"] == missing
    for index in range(100):
        image = read_codes(chunks.out / f"depth_{index:06d}.png")
        assert (image == 0).all() if index in missing else np.abs(chunks.read(index) - scenery(index)).max() < 1e-3


def test_folders_of_frames_are_read_by_their_numbers(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 30, 2, 4, distort=False)
    for number, path in enumerate(sorted(chunks.depth.iterdir())):
        folder = chunks.depth / f"chunk_{number:02d}"
        folder.mkdir()
        for place, frame in enumerate(np.load(path)["depths"]):
            np.save(folder / f"frame_{place:04d}.npy", frame)
        path.unlink()
    (chunks.depth / "chunk_00" / "frame_0003.npy").unlink()
    with pytest.raises(InputError, match="chunk 0 has 16 frames instead of 17"):
        chunks.merge()
    chunks.merge(allow_gaps=True)
    assert np.isnan(chunks.read(3)).all()
    for index in (0, 2, 4, 16, 29):
        assert np.abs(chunks.read(index) - scenery(index)).max() < 1e-3


@pytest.mark.parametrize(
    ("names", "words"),
    [
        # Chunk 1 has the frames 20 to 50 of the video, and 30 of its own.
        (range(25, 29), "numbered from 25 to 28: those are both frames of the video"),
        (range(100, 120), "numbered from 100 to 119: those are neither frames of the video"),
        (range(0, 60, 2), "numbered from 0 to 58: those are neither frames of the video"),
    ],
)
def test_numbers_that_do_not_tell_a_chunks_frames_are_refused_and_taken_by_order_if_asked(
    tmp_path: Path, names: range, words: str
) -> None:
    chunks = make_chunks(tmp_path, 50, 2, 10, distort=False)
    assert [(chunk.start, chunk.stop) for chunk in plan_independent(50, 2, 10).chunks] == [(0, 30), (20, 50)]
    folder = chunks.depth / "chunk_01"
    folder.mkdir()
    stack = np.load(chunks.depth / "chunk_01_depths.npz")["depths"]
    for name, frame in zip(names, stack, strict=False):
        np.save(folder / f"cam2_{name:04d}.npy", frame)
    (chunks.depth / "chunk_01_depths.npz").unlink()
    with pytest.raises(InputError, match=words):
        chunks.merge(allow_gaps=True)
    chunks.merge(allow_gaps=True, by_order=True)
    assert np.abs(chunks.read(20 + len(names) - 1) - scenery(20 + len(names) - 1)).max() < 1e-3


def test_depth_of_the_networks_size_is_resized_with_its_corners_in_place(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 20, 2, 4, distort=False)
    for path in sorted(chunks.depth.iterdir()):
        np.savez(path, arr_0=np.load(path)["depths"][:, ::23, ::39])  # the four corners
    chunks.merge()
    merged, corners = chunks.read(9), scenery(9)[::23, ::39]
    assert merged.shape == (HEIGHT, WIDTH)
    assert np.abs(merged[::23, ::39] - corners).max() < 1e-3
    assert np.abs(merged[0] - np.linspace(corners[0, 0], corners[0, 1], WIDTH)).max() < 1e-3


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 20, 2, 4)
    chunks.merge()
    with pytest.raises(UsageError, match="there already"):
        chunks.merge()
    chunks.merge(overwrite=True)


def test_what_others_keep_in_the_folder_stays(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 20, 2, 4)
    chunks.out.mkdir()
    notes = chunks.out / "notes.txt"
    notes.write_text("do not lose")
    chunks.merge(formats=("png16", "png8"))
    chunks.merge(overwrite=True)
    assert notes.read_text() == "do not lose"
    assert len(list(chunks.out.glob("png8/*"))) == 20


def test_depth_that_no_merge_wrote_is_not_taken_for_an_interrupted_one(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 20, 2, 4)
    chunks.out.mkdir()
    foreign = chunks.out / "depth_000003.png"
    foreign.write_bytes(b"of another program")
    with pytest.raises(SceneError, match=foreign.name):
        chunks.merge()
    assert foreign.read_bytes() == b"of another program"
    chunks.merge(overwrite=True)
    assert np.abs(chunks.read(3) - scenery(3)).max() < 1


def test_a_merge_killed_before_its_first_file_goes_on(tmp_path: Path) -> None:
    chunks = make_chunks(tmp_path, 20, 2, 4)
    chunks.out.mkdir()
    left = chunks.out / ".tmp-0123-merge.json"
    left.touch()
    chunks.merge()
    assert np.abs(chunks.read(3) - scenery(3)).max() < 1
    assert not left.exists()
