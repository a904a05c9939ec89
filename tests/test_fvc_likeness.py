"""Videos that are alike: clips made by arithmetic, coded again, made smaller, cropped a little, and others."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from vda.errors import InputError
from vda.fvc.folds import check_folds, write_folds
from vda.fvc.likeness import Mark, equal_files, find_alike, mark_of, similar_marks
from vda.reporter import Silence
from vda.video.writing import write_clip

FRAMES, HEIGHT, WIDTH = 40, 144, 192


def scene(seed: int) -> list[np.ndarray]:
    """Pictures of blobs that move: uint8 [144, 192, 3]; each seed another scene."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    centres, speeds = rng.uniform(0, 1, (9, 2)) * (HEIGHT, WIDTH), rng.uniform(-1, 1, (9, 2))
    sizes, colours = rng.uniform(8, 40, 9), rng.uniform(-130, 130, (9, 3))
    pictures = []
    for time in range(FRAMES):
        centre = centres + time * speeds
        blobs = np.exp(-((y[..., None] - centre[:, 0]) ** 2 + (x[..., None] - centre[:, 1]) ** 2) / sizes**2)
        pictures.append(np.clip(120 + blobs @ colours, 0, 255).astype(np.uint8))
    return pictures


def clip(path: Path, pictures: list[np.ndarray], **settings: object) -> Path:
    write_clip(path, pictures, fps=Fraction(20), **settings)
    return path


def changed(pictures: list[np.ndarray], size: tuple[int, int], cropped: float = 0.0) -> list[np.ndarray]:
    top, left = round(HEIGHT * cropped / 2), round(WIDTH * cropped / 2)
    inner = [picture[top : HEIGHT - top, left : WIDTH - left] for picture in pictures]
    return [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in inner]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in range(8):
        clip(folder / f"{seed}.mp4", scene(seed))
    clip(folder / "0_small.mp4", changed(scene(0), (96, 72)))
    clip(folder / "0_wide.mp4", changed(scene(0), (320, 180)))
    clip(folder / "1_cropped.mp4", changed(scene(1), (128, 96), cropped=0.03))
    clip(folder / "2_dark.mp4", [(picture * 0.7).astype(np.uint8) for picture in scene(2)])
    clip(folder / "black.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * FRAMES)
    clip(folder / "grey.mp4", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * FRAMES)
    (folder / "3_copy.mp4").write_bytes((folder / "3.mp4").read_bytes())
    return folder


def test_alike_are_found_and_no_others(films: Path) -> None:
    names = sorted(path.name for path in films.glob("*.mp4"))
    alike = find_alike([films / name for name in names], Silence(), pictures=True)
    found = {frozenset(names[row] for row in group) for group in alike.similar}
    assert found == {
        frozenset({"0.mp4", "0_small.mp4", "0_wide.mp4"}),
        frozenset({"1.mp4", "1_cropped.mp4"}),
        frozenset({"2.mp4", "2_dark.mp4"}),
    }
    assert [{names[row] for row in group} for group in alike.equal] == [{"3.mp4", "3_copy.mp4"}]
    assert alike.files == len(names)
    # What shows nothing has nothing to be known by.
    assert alike.hashed == len(names) - 2


def test_no_pictures_are_opened_unless_asked_and_files_may_be_absent(films: Path) -> None:
    alike = find_alike([films / "3.mp4", None, films / "3_copy.mp4", films / "0.mp4"], Silence(), pictures=False)
    assert (alike.equal, alike.similar, alike.files, alike.hashed) == (((0, 2),), (), 3, None)


def test_files_of_one_size_are_not_therefore_equal(tmp_path: Path) -> None:
    for name, content in (("a", b"12"), ("b", b"13"), ("c", b"12"), ("d", b"1")):
        (tmp_path / name).write_bytes(content)
    assert equal_files(sorted(tmp_path.iterdir())) == [[tmp_path / "a", tmp_path / "c"]]


def test_what_is_no_video_has_no_mark(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert mark_of(tmp_path / "a.mp4") is None


def test_marks_that_differ_in_many_bits_or_in_length_are_not_alike() -> None:
    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1, 1], np.int8), 252)
    near, far = signs.copy(), signs.copy()
    near[:40] *= -1
    far[:41] *= -1
    marks = [Mark(signs, 10), Mark(near, 10), Mark(signs, 12)]
    assert similar_marks(marks) == [(0, 1)]
    assert similar_marks([Mark(signs, 10), Mark(far, 10)]) == []
    assert similar_marks([]) == []


def test_alike_hang_together_and_different_labels_are_said(films: Path, tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    names = ["0", "0_small", "1", "2", "3", "3_copy", "4"]
    labels = ["fake", "real", "fake", "real", "fake", "fake", "real"]
    pl.DataFrame({"video_path": [f"{name}.mp4" for name in names], "label": labels}).write_csv(path)
    made = write_folds(path, tmp_path / "folds.csv", folds=2, root=films, near_duplicates=True)
    fold = pl.read_csv(tmp_path / "folds.csv")["fold"].to_list()
    assert fold[0] == fold[1]
    assert fold[4] == fold[5]
    remarks = "\n".join(made.remarks())
    assert "Pictures were compared of 7 of 7 files." in remarks
    assert "1 of these groups have different labels: 0 (fake) and 1 (real)." in remarks
    parted = pl.DataFrame(
        {"video_path": ["0.mp4", "0_small.mp4", "4.mp4"], "label": ["a", "b", "a"], "fold": [0, 1, 1]}
    )
    parted.write_csv(path)
    check_folds(path, root=films)
    with pytest.raises(InputError, match="equal or alike"):
        check_folds(path, root=films, near_duplicates=True)


def test_pictures_of_no_file_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("video_path,label\na.mp4,fake\nb.mp4,real\n")
    with pytest.raises(InputError, match="None of the videos"):
        write_folds(tmp_path / "metadata.csv", tmp_path / "out.csv", folds=2, near_duplicates=True)
