"""Two results against each other: what is known to differ, where, and by how much, is what is told."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from pictures import read_picture
from two_chunks import make_scene

from vda.cli.evaluate import evaluate as command
from vda.comparing.pictures import show_worst
from vda.comparing.results import resampled
from vda.comparing.stage import Comparison, compare
from vda.comparing.words import basis
from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.files import write_png16
from vda.errors import InputError, UsageError

Array = NDArray[np.float32]

FRAMES, HEIGHT, WIDTH = 24, 32, 48
CHANGED = 17
BOX = np.s_[8:16, 12:28]


@pytest.fixture
def inverse() -> Array:
    """Inverse depth that changes over the film; every two columns are alike."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([1 + 0.05 * y + 0.02 * (x // 2) * np.cos(frame / 5) for frame in range(FRAMES)]).astype(
        np.float32
    )


def checkered(values: Array, by: float) -> Array:
    """``values`` with more in every other column of the box of one frame and as much less in the others.

    What A has is alike in both, so no scale and no shift of A can make up for it: the fit stays as it was.
    """
    changed = values.copy()
    changed[CHANGED][BOX] += np.where(np.arange(WIDTH)[BOX[1]] % 2, -by, by).astype(np.float32)
    return changed


def stack(path: Path, values: NDArray[np.floating]) -> Path:
    np.save(path, values.astype(np.float32))
    return path


def merged(
    folder: Path, values: NDArray[np.floating], quantizer: Quantizer, record: DepthRecord | None = None
) -> Path:
    """A folder as ``vda merge`` leaves it."""
    folder.mkdir(parents=True)
    made = record or DepthRecord(quantizer, len(values), values.shape[2], values.shape[1], "mini")
    for frame, value in zip(made.indices, values, strict=True):
        write_png16(folder / f"depth_{frame:06d}.png", quantizer.encode(value.astype(np.float32)))
    made.write(folder / "depth.json")
    return folder


def told(found: Comparison) -> str:
    return " ".join(basis(found))


def test_a_known_difference_is_found_where_it_is_and_as_large_as_it_is(tmp_path: Path, inverse: Array) -> None:
    reference = checkered(3 * inverse + 2, 0.5)
    found = compare(stack(tmp_path / "a.npy", inverse), stack(tmp_path / "b.npy", reference))
    [ruler] = found.rulers.values()
    assert (ruler.fit.scale, ruler.fit.shift) == pytest.approx((3, 2), rel=1e-5)
    low, high = np.percentile(reference, (2, 98))
    assert ruler.range == pytest.approx(high - low, rel=1e-3)
    size, box = 0.5 / (high - low), 8 * 16 / (HEIGHT * WIDTH)
    frame = found.frames[CHANGED]
    assert (frame.frame, frame.mean, frame.largest) == (
        CHANGED,
        pytest.approx(size * box, rel=1e-3),
        pytest.approx(size, rel=1e-3),
    )
    assert frame.rms == pytest.approx(size * np.sqrt(box), rel=1e-3)
    assert frame.p99 == pytest.approx(size, rel=1e-3)
    assert abs(frame.bias) < 1e-6 and frame.own_scale == pytest.approx(1, abs=1e-5)
    others = [other for other in found.frames if other is not frame]
    assert max(other.largest for other in others) < 1e-5
    assert found.film.mean == pytest.approx(size * box / FRAMES, rel=1e-3)
    assert found.film.over == pytest.approx((box / FRAMES, box / FRAMES if size > 0.05 else 0))
    assert found.worst[0].frame == min(one.frame for one in found.worst) and frame in found.worst
    [row] = [row for row in show_worst(found).rows if row.frame == CHANGED]
    in_box = row.difference[BOX].astype(int)
    # Inverse depth that is larger in A is nearer: red there, blue where B has more.
    assert (in_box[:, 1::2, 0] > in_box[:, 1::2, 2] + 50).all() and (
        in_box[:, ::2, 2] > in_box[:, ::2, 0] + 50
    ).all()
    assert np.ptp(row.difference[20:].reshape(-1, 3), axis=0).max() <= 2  # the two middle colours of 256


def test_scale_that_wanders_is_told_apart_from_shape(tmp_path: Path, inverse: Array) -> None:
    wander = np.exp(0.1 * np.sin(np.arange(FRAMES)))[:, None, None]
    found = compare(stack(tmp_path / "a.npy", inverse * wander), stack(tmp_path / "b.npy", inverse))
    scales = np.array([frame.own_scale for frame in found.frames])
    np.testing.assert_allclose(scales * wander.ravel(), scales[0] * wander[0, 0, 0], rtol=1e-4)
    assert found.film.wander == pytest.approx(np.log(wander).std(), rel=1e-3)
    assert found.film.rms > 0.02 and found.film.own_rms < 1e-5


def test_a_film_upside_down_gets_no_negative_scale(tmp_path: Path, inverse: Array) -> None:
    found = compare(stack(tmp_path / "a.npy", 10 - inverse), stack(tmp_path / "b.npy", inverse))
    [ruler] = found.rulers.values()
    assert ruler.fit.scale == 0 and ruler.fit.shift == pytest.approx(inverse.mean(), rel=1e-5)
    assert found.correlation == pytest.approx(-1)
    assert "No scale above 0 fits" in told(found)
    # And the other way round where a frame alone is.
    flipped = inverse.copy()
    flipped[3] = 4 - flipped[3]
    one = compare(stack(tmp_path / "c.npy", flipped), stack(tmp_path / "b.npy", inverse))
    assert one.film.opposed == 1 and "In 1 frames" in told(one)


def test_metres_are_taken_as_they_are(tmp_path: Path, inverse: Array) -> None:
    metres = 6 / inverse
    paths = stack(tmp_path / "a.npy", 1100 * metres), stack(tmp_path / "b.npy", 1000 * metres)
    found = compare(*paths, a_scale=1000, b_scale=1000)
    assert found.together.quantity == "depth" and found.unit == "B's depth"
    assert (found.film.mean, found.film.rms) == pytest.approx((0.1, 0.1), rel=1e-4)
    assert found.film.mean_m == pytest.approx(0.1 * metres.mean(), rel=1e-4)
    assert found.film.own_rms < 1e-5 and found.frames[0].own_scale == pytest.approx(1 / 1.1, rel=1e-4)
    # Deeper is farther: blue, though the number is larger.
    row = show_worst(found).rows[0].difference
    assert (row[..., 2].astype(int) > row[..., 0]).all()


def test_metric_against_relative_is_inverse_depth(tmp_path: Path, inverse: Array) -> None:
    metric = stack(tmp_path / "a.npy", 1000 / inverse)
    found = compare(metric, stack(tmp_path / "b.npy", 2 * inverse + 1), a_scale=1000)
    assert found.together.quantity == "inverse_depth" and found.film.rms < 1e-5
    [ruler] = found.rulers.values()
    assert (ruler.fit.scale, ruler.fit.shift) == pytest.approx((2, 1), rel=1e-4)
    other = compare(tmp_path / "b.npy", metric, b_scale=1000)
    assert other.film.rms < 1e-5 and "B is metric and the other is not" in told(other)


def test_sizes_are_brought_together_around_the_centres_of_pixels(tmp_path: Path) -> None:
    def ramp(width: int, height: int) -> Array:
        """What a film shows whose left edge is 0 and right edge 1, wherever its pixels are."""
        x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        return np.repeat((x[None] + 2 * y[:, None])[None], 3, axis=0).astype(np.float32)

    # Means over areas keep a ramp where whole pixels fit, and miss by a twelfth of a pixel where halves do:
    # (0.5 * 1 + 1.5 * 0.5) / 1.5 is where the mean of a pixel and a half of the next is, and 0.75 their centre.
    for size, miss in (((96, 64), 1e-6), ((72, 48), (1 / 72 + 2 / 48) / 12 * 1.1)):
        found = compare(stack(tmp_path / "a.npy", ramp(*size)), stack(tmp_path / "b.npy", ramp(48, 32)))
        [ruler] = found.rulers.values()
        assert found.together.size == (48, 32) and ruler.range is not None
        assert found.film.largest * ruler.range < miss
        # Had corners been kept in their places, the ramp would be steeper by one pixel in 32 or 48.
        assert ruler.fit.scale == pytest.approx(1, abs=2e-3)
        assert "half-pixel centres" in told(found) and f"A is {size[0]} x {size[1]}" in told(found)
    hole = np.ones((8, 8), np.float32)
    hole[2, 5] = np.nan
    assert np.argwhere(np.isnan(resampled(hole, (4, 4)))).tolist() == [[1, 2]]
    with pytest.raises(InputError, match="not of the same picture"):
        compare(stack(tmp_path / "a.npy", ramp(48, 48)), tmp_path / "b.npy")


def test_only_frames_of_both_count(tmp_path: Path, inverse: Array) -> None:
    quantizer = Quantizer.for_range(0, 4)
    thinned = DepthRecord(
        quantizer, 4, WIDTH, HEIGHT, "mini", thinning={"stride": 5}, frame_indices=[5, 10, 15, 20],
        settings={"frame_range": [5, 24]},
    )  # fmt: skip
    one = merged(tmp_path / "a", inverse[:16], quantizer)
    other = merged(tmp_path / "b", inverse[5:21:5], quantizer, thinned)
    found = compare(one, other)
    assert [frame.frame for frame in found.frames] == [5, 10, 15]
    assert found.together.left_out == (13, 1) and "13 of A and 1 of B" in told(found)
    assert found.film.largest < 1e-4
    # Five frames apart in both, so what follows is compared with what follows.
    assert found.together.neighbours() == [(0, 1), (1, 2)]
    with pytest.raises(InputError, match="no frame in common"):
        late = replace(thinned, frame_indices=[50, 51, 52, 53], settings={"frame_range": [50, 54]})
        compare(one, merged(tmp_path / "c", inverse[:4], quantizer, late))
    with pytest.raises(InputError, match="cannot be paired by order"):
        compare(one, other, by_order=True)
    assert compare(other, other, by_order=True).film.largest == 0


def test_what_only_one_has_is_counted_and_left_out(tmp_path: Path, inverse: Array) -> None:
    a, b = inverse.copy(), inverse.copy()
    a[:, :2], b[:, 1:4], b[4] = np.nan, np.nan, np.nan
    found = compare(stack(tmp_path / "a.npy", a), stack(tmp_path / "b.npy", b))
    first = found.frames[0]
    assert (first.pixels, first.only_a, first.only_b) == ((HEIGHT - 4) * WIDTH, 2 * WIDTH, WIDTH)
    assert found.frames[4].pixels == 0 and found.to_json()["per_frame"][4]["mean"] is None
    assert found.film.pixels == (FRAMES - 1) * (HEIGHT - 4) * WIDTH and found.film.largest < 1e-6
    bordered = compare(tmp_path / "a.npy", tmp_path / "b.npy", border=4)
    assert bordered.frames[0].pixels == (HEIGHT - 8) * (WIDTH - 8) and bordered.frames[0].only_a == 0
    with pytest.raises(UsageError, match="leaves nothing"):
        compare(tmp_path / "a.npy", tmp_path / "b.npy", border=16)
    with pytest.raises(InputError, match="No pixel"):
        compare(tmp_path / "a.npy", stack(tmp_path / "c.npy", np.full_like(inverse, np.nan)))


def test_each_shot_is_fitted_on_its_own(tmp_path: Path, inverse: Array) -> None:
    quantizer = Quantizer.for_range(0, 40)
    shots = [{"start_frame": 0, "end_frame": 10}, {"start_frame": 10, "end_frame": FRAMES}]
    record = DepthRecord(quantizer, FRAMES, WIDTH, HEIGHT, "mini", shots=shots)
    scaled = inverse * np.where(np.arange(FRAMES) < 10, 2, 9)[:, None, None]
    found = compare(merged(tmp_path / "a", scaled, quantizer, record), stack(tmp_path / "b.npy", inverse))
    assert [ruler.fit.scale for ruler in found.rulers.values()] == pytest.approx([1 / 2, 1 / 9], rel=1e-3)
    assert found.film.rms < 1e-3 and "2 shots" in told(found)


def test_the_command_prints_and_draws(tmp_path: Path, inverse: Array) -> None:
    a = merged(tmp_path / "a <1>", inverse, Quantizer.for_range(0, 4))
    b = stack(tmp_path / "b.npy", checkered(2 * inverse, 0.5))
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    options = ["--pairs", "--page", str(page), "--figure", str(sheet), "-q"]
    result = CliRunner().invoke(command, [str(a), str(b), "--json", *options])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["frames"], told["quantity"], told["unit"]) == (FRAMES, "inverse_depth", "B's range")
    assert told["difference"]["mean"] == pytest.approx(np.mean([one["mean"] for one in told["per_frame"]]))
    assert CHANGED in told["worst_frames"] and told["a"]["seam"] is None
    text = page.read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources and all(source.startswith("data:") for source in sources)
    assert "a &lt;1&gt;" in text and "<1>" not in text
    for title in (
        "What was compared",
        "How far apart",
        "Each by itself",
        "Frame by frame",
        "The frames farthest apart",
    ):
        assert f"<h2>{title}</h2>" in text
    shown = read_picture(sheet)
    assert (np.ptp(shown.astype(int), axis=2) > 60).mean() > 0.05
    for option in (["--page", str(page)], ["--figure", str(sheet)]):
        again = CliRunner().invoke(command, [str(a), str(b), "--pairs", *option])
        assert again.exit_code == 2 and "--overwrite" in again.output
    table = CliRunner().invoke(command, [str(a), str(b), "--pairs", "-q"])
    assert "mean difference" in table.output and "frames farthest apart" in table.output


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--pairs", "--cap", "80"], "--cap is about truth"), (["--page", "p.html"], "Give --pairs")],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: list[str], word: str) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), str(tmp_path), *options])
    assert result.exit_code == 2 and word in result.output


def test_scenes_are_compared_with_their_seams_and_their_film(tmp_path: Path) -> None:
    names = "one", "two"
    for name in names:
        (tmp_path / name).mkdir()
    scenes = [make_scene(tmp_path / name, chunks=chunks) for name, chunks in zip(names, (2, 3), strict=True)]
    found = compare(scenes[0].root, scenes[1].merged_dir)
    assert found.film.rms < 1e-3
    first, second = found.steadiness
    assert (first.seams, second.seams) == (1, 2)
    assert first.seam == pytest.approx(1, rel=0.02) and second.seam_median == pytest.approx(1, rel=0.02)
    # The picture moves by a pixel per frame and the depth does not, in both alike.
    assert first.flicker_pairs == second.flicker_pairs == 16
    assert first.flicker == pytest.approx(second.flicker, rel=1e-2)
    assert "different video files" not in told(found)
    assert all(row.picture is not None for row in show_worst(found).rows)
    other = json.loads(scenes[1].video_path.read_text())
    scenes[1].video_path.write_text(json.dumps({**other, "sha256_head_tail": "0" * 64}))
    assert "different video files" in told(compare(scenes[0].root, scenes[1].root))
