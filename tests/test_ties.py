"""Overlaps that say nothing, chunks that nothing ties, and hard cuts: fitted, said, and the others unharmed."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_independent import tool

from vda.depthmaps.source import open_depth
from vda.errors import UsageError
from vda.joining.align import fit_scale_shift
from vda.joining.pieces import BlendedPieces
from vda.merging.settings import MergeSettings
from vda.merging.stage import merge_chunks
from vda.scene.chunks import plan_independent, plan_linked
from vda.scene.planfile import plan_metadata

pytestmark = pytest.mark.whole

WIDTH, HEIGHT = 48, 32
# What the chunks of a test are of the truth: scale and shift of each.
SCALES = (2.0, 0.5, 1.25, 0.8)
SHIFTS = (0.1, 0.0, 0.3, 0.2)


def scenery(index: int) -> np.ndarray:
    """Inverse depth of a frame: a floor that nears, a wall that moves by, and a thing that crosses the picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    thing = 3 * np.exp(-((x - index % WIDTH) ** 2 + (y - 12) ** 2) / 30)
    return 0.5 + 0.1 * y + 0.2 * np.sin((x + 0.3 * index) / 9) + thing


class Film:
    """A plan, and the depth of its chunks in ``SCALES`` and ``SHIFTS`` of the truth, to be spoilt and merged."""

    def __init__(self, root: Path, frames: int = 80, chunks: int = 4, overlap: int = 8) -> None:
        self.plan = plan_independent(frames, chunks, overlap)
        self.metadata, self.folder, self.out = root / "plan.json", root / "depth", root / "merged"
        self.folder.mkdir(parents=True)
        self.metadata.write_text(
            json.dumps(plan_metadata(self.plan, {"fps": 25.0, "width": WIDTH, "height": HEIGHT}))
        )
        for chunk in self.plan.chunks:
            depth = np.stack([scenery(index) for index in range(chunk.start, chunk.stop)])
            scale, shift = SCALES[chunk.index % 4], SHIFTS[chunk.index % 4]
            self.write(chunk.index, scale * depth + shift)

    def path(self, chunk: int) -> Path:
        return self.folder / f"chunk_{chunk:02d}_depths.npy"

    def write(self, chunk: int, depth: np.ndarray) -> None:
        np.save(self.path(chunk), depth.astype(np.float32))

    def spoil(self, chunk: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.write(chunk, change(np.load(self.path(chunk))))

    def merge(self, **settings: Any) -> tuple[str, ...]:
        return merge_chunks(self.metadata, self.folder, self.out, MergeSettings(**settings)).remarks

    def shot(self) -> dict[str, Any]:
        (shot,) = json.loads((self.out / "depth.json").read_text())["shots"]
        return dict(shot)

    def scales(self) -> list[float]:
        return [chunk["scale"] for chunk in self.shot()["chunks"]]


def noise(size: float) -> Callable[[np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    return lambda depth: 0.5 + size * random.random(depth.shape)


FLAT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "black": np.zeros_like,
    "fog": lambda depth: np.full_like(depth, 0.7),
    "noise": noise(1e-4),
    "loud noise": noise(5),
}


@pytest.mark.parametrize("flat", FLAT)
@pytest.mark.parametrize("number", [0, 3])
def test_a_flat_chunk_leaves_the_scales_of_the_others_as_they_are(flat: str, number: int, tmp_path: Path) -> None:
    film = Film(tmp_path)
    film.spoil(number, FLAT[flat])
    remarks = film.merge()
    others = [chunk for chunk in range(4) if chunk != number]
    scales = film.scales()
    # A chunk that is so many times the truth needs the inverse, and the gauge is the median of the three.
    middle = np.median([1 / SCALES[chunk] for chunk in others])
    for chunk in others:
        assert scales[chunk] == pytest.approx(1 / SCALES[chunk] / middle, rel=1e-5)
    beside = 1 if number == 0 else 2
    assert scales[number] == pytest.approx(scales[beside])
    assert any(f"Chunk {number} (frames " in remark and "could not be tied" in remark for remark in remarks)
    assert [chunk["tied"] for chunk in film.shot()["chunks"]] == [chunk != number for chunk in range(4)]
    assert json.loads((film.out / "depth.json").read_text())["remarks"] == list(remarks)


def test_behind_a_flat_chunk_the_rest_keeps_its_neighbours_scale_and_level(tmp_path: Path) -> None:
    """Nothing says how chunk 0 compares with 2 and 3, which are tied: 1 and 0 take the scale next to them."""
    film = Film(tmp_path)
    film.spoil(1, np.zeros_like)
    remarks = film.merge()
    scales = film.scales()
    assert scales[3] / scales[2] == pytest.approx(SCALES[2] / SCALES[3], rel=1e-5)
    assert np.sqrt(scales[2] * scales[3]) == pytest.approx(1)
    assert scales[:2] == pytest.approx([scales[2]] * 2)
    assert [f"Chunk {chunk} " in " ".join(remarks) for chunk in range(4)] == [True, True, False, False]
    # The black chunk lies at the median of what it shares: it is neither the nearest nor the farthest.
    chunks = film.plan.chunks
    inside = open_depth(film.out).read((chunks[0].stop + chunks[2].start) // 2)
    beside = open_depth(film.out).read(chunks[2].start + 8)
    assert np.ptp(inside) == 0
    assert beside.min() < inside[0, 0] < beside.max()


def test_black_frames_in_an_overlap_are_left_out_of_the_fit(tmp_path: Path) -> None:
    film = Film(tmp_path)
    start, stop = film.plan.chunks[1].start, film.plan.chunks[0].stop
    for chunk in film.plan.chunks[:2]:
        random = np.random.default_rng(chunk.index)

        def fade(depth: np.ndarray, first: int = chunk.start, random: np.random.Generator = random) -> np.ndarray:
            dark = depth[start - first : stop - first - 2]
            dark[...] = 0.3 + 1e-4 * random.random(dark.shape)
            return depth

        film.spoil(chunk.index, fade)
    assert film.merge() == ()
    scales = film.scales()
    assert scales[1] / scales[0] == pytest.approx(SCALES[0] / SCALES[1], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (np.zeros_like, "constant", "share nothing that says their scale: the depth of one of them is constant"),
        (noise(1), "unrelated", "share nothing that says their scale: their depth there has nothing to do"),
        (lambda depth: 9 - depth, "opposed", "do not agree on what is near"),
    ],
)
def test_an_overlap_that_says_nothing_is_told_by_what_it_is(
    change: Callable[[np.ndarray], np.ndarray], verdict: str, words: str, tmp_path: Path
) -> None:
    film = Film(tmp_path, frames=60, chunks=3)
    film.spoil(2, change)
    remarks = film.merge()
    assert any(remark.startswith(f"Chunks 1 and 2 {words}") for remark in remarks)
    assert [overlap["verdict"] for overlap in film.shot()["overlaps"]] == ["fitted", verdict]
    assert all(scale > 0 for scale in film.scales())


def test_an_overlap_that_is_shorter_than_planned_is_said(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=120, chunks=2, overlap=32)
    film.spoil(0, lambda depth: depth[:-5])
    remarks = film.merge(allow_gaps=True)
    assert remarks == ("Chunks 0 and 1 share 27 frames instead of 32 (frames 44:76): the others are missing.",)
    (overlap,) = film.shot()["overlaps"]
    assert (overlap["planned_frames"], overlap["shared_frames"]) == (32, 27)
    assert (overlap["start_frame"], overlap["end_frame"], overlap["between"]) == (44, 76, [0, 1])


def test_where_all_of_an_overlap_is_missing_the_frames_beside_it_are_fitted(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=80, chunks=2, overlap=8)
    film.spoil(0, lambda depth: depth[:-8])
    remarks = film.merge(allow_gaps=True)
    assert "Chunks 0 and 1 share no frame of 8: all are missing in one of them." in remarks
    assert film.scales()[1] / film.scales()[0] == pytest.approx(SCALES[0] / SCALES[1], rel=0.02)


def test_frames_far_apart_are_not_fitted(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=80, chunks=2, overlap=0)
    film.spoil(0, lambda depth: depth[:-12])
    remarks = film.merge(allow_gaps=True)
    assert any("no frame, nor two frames near each other, has depth in both" in remark for remark in remarks)
    assert film.scales() == pytest.approx([1, 1])


@pytest.mark.parametrize("kind", ["inverse_depth", "depth"])
def test_without_overlap_ten_chunks_are_fitted_frame_to_frame(kind: str, tmp_path: Path) -> None:
    """A thing moves in every pair of frames; the scales are those of the truth, to one percent a joint."""
    film = Film(tmp_path, frames=100, chunks=10, overlap=0)
    if kind == "depth":
        for chunk in film.plan.chunks:
            film.spoil(chunk.index, lambda depth, n=chunk.index: depth - SHIFTS[n % 4])  # type: ignore[misc]
    film.merge(kind=kind)
    sizes = [scale * SCALES[chunk % 4] for chunk, scale in enumerate(film.scales())]
    assert all(abs(np.log(after / before)) < 0.01 for before, after in pairwise(sizes))
    assert max(sizes) / min(sizes) < 1.03
    assert all(overlap["shared_frames"] == 0 for overlap in film.shot()["overlaps"])


def test_the_classic_script_names_what_it_could_not_tie(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=60, chunks=3)
    film.spoil(2, noise(1e-4))
    done = tool(
        "merge_depth_chunks.py", "--metadata", film.metadata, "--depth_dir", film.folder, "--output_dir", film.out
    )
    assert done.returncode == 0
    assert "Chunk 2 (frames 34:60) could not be tied to the others" in done.stderr


def test_one_piece_alone_is_left_as_it_is() -> None:
    assert BlendedPieces.fitted(0, 4, (2, 2), [], kind="depth").fits == ()


def bend(film: Film, chunk: int, size: float) -> None:
    """A field of factors over the picture, 1 - size to 1 + size from one corner to the other."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    film.spoil(chunk, lambda depth: depth * (1 + size * (0.6 * x - 0.4 * y)))


def error_of(film: Film) -> float:
    """The mean relative error of the video's inverse depth after one scale and shift."""
    source = open_depth(film.out)
    found = np.stack([source.read(index) for index in source.frames])
    truth = np.stack([scenery(index) for index in source.frames])
    return float(np.mean(np.abs(fit_scale_shift(found, truth).apply(found) - truth) / truth))


def test_chunks_that_differ_by_more_than_scale_and_shift_are_said_and_mended(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=120, chunks=4, overlap=12)
    # As much one way as the other: what all chunks have in common, here nothing, no overlap could tell.
    for chunk, size in ((1, 0.25), (3, -0.25)):
        bend(film, chunk, size)
    remarks = film.merge()
    (remark,) = remarks
    assert remark.startswith("Chunks differ by more than scale and shift: 0 and 1 (")
    assert "2 and 3 (" in remark and "--align smooth may mend it" in remark
    assert all(overlap["residual"]["smooth"] > 0.02 for overlap in film.shot()["overlaps"])
    before = error_of(film)
    assert film.merge(align="smooth", overwrite=True) == ()
    assert error_of(film) < 0.4 * before
    assert all(overlap["residual"]["smooth"] < 0.02 for overlap in film.shot()["overlaps"])
    assert all(len(chunk["smooth"]["terms"]) == 13 for chunk in film.shot()["chunks"])
    record = json.loads((film.out / "depth.json").read_text())
    # The range bounds every value: none had to take the nearest code.
    assert record["clipped"] == 0 and record["settings"]["align"] == "smooth"


@pytest.mark.parametrize("kind", ["inverse_depth", "depth"])
def test_chunks_that_differ_by_scale_and_shift_alone_are_mended_by_nothing(kind: str, tmp_path: Path) -> None:
    film = Film(tmp_path, frames=60, chunks=3)
    if kind == "depth":
        for chunk in film.plan.chunks:
            film.spoil(chunk.index, lambda depth, n=chunk.index: depth - SHIFTS[n])  # type: ignore[misc]
    film.merge(kind=kind, formats=("npy",))
    plain = np.load(film.out / "depths.npy")
    assert film.merge(kind=kind, formats=("npy",), align="smooth", overwrite=True) == ()
    assert np.abs(np.load(film.out / "depths.npy") - plain).max() < 1e-3


def test_smooth_needs_chunks_that_overlap(tmp_path: Path) -> None:
    film = Film(tmp_path, frames=40, chunks=2, overlap=0)
    with pytest.raises(UsageError, match="share no frames"):
        film.merge(align="smooth")
    film.metadata.write_text(json.dumps(plan_metadata(plan_linked(40, 2), {"width": WIDTH, "height": HEIGHT})))
    with pytest.raises(UsageError, match="Linked chunks are one and the same depth"):
        film.merge(align="smooth")
    assert not film.out.exists()


def test_mended_depth_is_the_same_bytes_for_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for cores in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        film = Film(tmp_path / str(cores), frames=60, chunks=3)
        bend(film, 1, 0.25)
        film.merge(align="smooth")
        made.append([path.read_bytes() for path in sorted(film.out.glob("depth_*.png"))])
    assert len(made[0]) == 60
    assert made[0] == made[1]


def test_a_flat_chunk_has_no_smooth_terms_and_the_others_sum_to_nothing(tmp_path: Path) -> None:
    film = Film(tmp_path)
    bend(film, 1, 0.25)
    film.spoil(3, noise(1e-4))
    remarks = film.merge(align="smooth")
    assert any("Chunk 3 (frames " in remark and "could not be tied" in remark for remark in remarks)
    chunks = film.shot()["chunks"]
    assert ["smooth" in chunk for chunk in chunks] == [True, True, True, False]
    terms = np.array([chunk["smooth"]["terms"] for chunk in chunks[:3]])
    assert np.abs(terms).max() > 0.01
    assert np.abs(terms.sum(axis=0)).max() < 1e-6
