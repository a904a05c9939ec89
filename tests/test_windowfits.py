"""Windows fitted all together: known scales come back though anchors are wrong, or windows hold nothing."""

from pathlib import Path

import numpy as np
import pytest

from vda.joining.align import ScaleShift
from vda.joining.remarks import joining_remarks
from vda.joining.sequence import Alignment, SequenceDepth
from vda.linking.links import Link, measure_link
from vda.linking.windowfits import fit_windows
from vda.network.packing import packed
from vda.scene.chunks import plan_linked
from vda.scene.rawwindows import open_raw_window, write_raw_window
from vda.scene.windows import Window, window_count

HEIGHT, WIDTH = 18, 32
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


def scenery(frame: int) -> np.ndarray:
    """A floor before a wall, and waves that go through both."""
    return 2 + 0.1 * Y + 0.4 * np.sin((X + frame) / 6) + 0.2 * np.cos((Y - frame / 3) / 4)


class DrawnWindows:
    """Windows of ``scenery``, each with a scale (20 %) and shift of its own and 1 % of noise, as files."""

    def __init__(self, folder: Path, frames: int, *, anchor: float = 0.0, nothing: range = range(0)) -> None:
        random = np.random.default_rng(11)
        self.folder, self.frames = folder, frames
        self.scales, self.shifts = [], []
        for k in range(window_count(frames)):
            window = Window(0, frames, k)
            self.scales.append(float(np.exp(random.normal(0, 0.2))))
            self.shifts.append(float(random.uniform(0, 1)))
            seen = np.stack([scenery(frame) for frame in window.frame_indices])
            seen += 0.01 * random.standard_normal(seen.shape)
            if k:
                seen[0] *= np.exp(random.normal(0, anchor))
            lost = [frame in nothing for frame in window.frame_indices]
            # A window in which nothing is seen has nothing for its anchor either.
            lost[0] = lost[0] or all(lost[1:])
            seen[lost] = random.uniform(1, 5, (sum(lost), HEIGHT, WIDTH))
            write_raw_window(
                folder / f"{k}.npz", packed((self.scales[k] * seen + self.shifts[k]).astype(np.float32))
            )

    def joined(self, align: Alignment, *, metric: bool = False) -> SequenceDepth:
        return SequenceDepth.fitted(
            0,
            self.frames,
            WIDTH,
            HEIGHT,
            lambda k: open_raw_window(self.folder / f"{k}.npz"),
            metric=metric,
            align=align,
        )

    def log_scales(self, joined: SequenceDepth, leave_out: tuple[int, ...] = ()) -> np.ndarray:
        """What is left of each window's own scale: constant where all are joined rightly."""
        pairs = zip(self.scales, joined.fits, strict=True)
        left = [np.log(abs(fit.scale) * scale) for scale, fit in pairs]
        return np.array([value for k, value in enumerate(left) if k not in leave_out])


def test_windows_of_noise_get_no_weight_and_are_named(tmp_path: Path) -> None:
    """After 60 frames of noise the scale is what it was before; one after the other a part of it is lost."""
    drawn = DrawnWindows(tmp_path, 400, nothing=range(150, 210))
    joined = drawn.joined("joint")
    # Window 8 shows frames 178 to 207 and, in slot 1, 166; window 7 has frame 144 there, which was seen.
    assert joined.untied == (8,)
    left = drawn.log_scales(joined, joined.untied)
    assert np.ptp(left) < 0.01
    assert np.ptp(drawn.log_scales(drawn.joined("sequential"), joined.untied)) > 0.05
    assert joined.fits[8].scale == pytest.approx(np.sqrt(joined.fits[7].scale * joined.fits[9].scale))
    assert joined.to_json()["untied_windows"] == [8]
    # It settles frames 179 to 200: 22k + 3 to 22k + 24.
    assert list(joining_remarks(joined, plan_linked(400, 1))) == [
        "1 of 19 windows could not be tied to the others (frames 179:201): "
        "they keep their neighbours' median scale."
    ]


def test_in_order_windows_of_noise_are_named_with_what_passes_over_them(tmp_path: Path) -> None:
    drawn = DrawnWindows(tmp_path, 400, nothing=range(150, 210))
    in_order = drawn.joined("sequential")
    # Slot 1 of window k is frame 22 k - 10: of windows 8 and 9 it lies in the noise.
    assert in_order.unrelated == (8, 9) and in_order.to_json()["unrelated_windows"] == [8, 9]
    remarks = list(joining_remarks(in_order, plan_linked(400, 1)))
    assert any("frames 166, 188" in sentence and "--align joint" in sentence for sentence in remarks)


def test_where_all_is_seen_nothing_is_said(tmp_path: Path) -> None:
    drawn = DrawnWindows(tmp_path, 400, anchor=0.3)
    assert list(joining_remarks(drawn.joined("sequential"), plan_linked(400, 1))) == []


def test_an_anchor_that_is_wrong_counts_as_little_as_it_is_worth(tmp_path: Path) -> None:
    """Neighbours share nine frames that are right to 1 %; the anchor is off by 30 %, anew in each window."""
    drawn = DrawnWindows(tmp_path, 1000, anchor=0.3)
    assert drawn.log_scales(drawn.joined("joint")).std() < 0.02
    assert drawn.log_scales(drawn.joined("sequential")).std() > 0.05


def test_a_film_that_begins_black_is_joined_by_neighbours_alone(tmp_path: Path) -> None:
    drawn = DrawnWindows(tmp_path, 400, nothing=range(10))
    joined = drawn.joined("joint")
    assert joined.untied == ()
    assert drawn.log_scales(joined).std() < 0.01


def test_nothing_shown_is_cut_off_at_nought(tmp_path: Path) -> None:
    joined = DrawnWindows(tmp_path, 200).joined("joint")
    lowest = [fit.scale * joined.read(k).minima[2:].min() + fit.shift for k, fit in enumerate(joined.fits)]
    assert min(lowest) >= -1e-6
    assert np.median([fit.scale for fit in joined.fits]) == pytest.approx(1)


def test_the_same_windows_give_the_same_fits_whoever_reads_them(tmp_path: Path) -> None:
    drawn = DrawnWindows(tmp_path, 200, anchor=0.1)
    assert drawn.joined("joint").fits == drawn.joined("joint").fits


def test_one_window_is_as_it_came(tmp_path: Path) -> None:
    joined = DrawnWindows(tmp_path, 20).joined("joint")
    assert (joined.fits, joined.untied) == ((ScaleShift(1.0, 0.0),), ())


def test_metric_windows_get_a_scale_each_when_asked(tmp_path: Path) -> None:
    """Four windows of one scene in metres, of which one is 10 % too far: jointly it is not."""
    factors = (1.0, 1.0, 1.1, 1.0)
    for k, factor in enumerate(factors):
        frames = Window(0, 90, k).frame_indices
        depth = np.stack([factor * scenery(frame) for frame in frames]).astype(np.float32)
        write_raw_window(tmp_path / f"{k}.npz", packed(depth))

    def joined(align: Alignment) -> SequenceDepth:
        reader = lambda k: open_raw_window(tmp_path / f"{k}.npz")  # noqa: E731
        return SequenceDepth.fitted(0, 90, WIDTH, HEIGHT, reader, metric=True, align=align)

    as_it_came, fitted = joined("sequential"), joined("joint")
    assert set(as_it_came.fits) == {ScaleShift()}
    # Windows 1 and 2 differ by 1.1, so do 2 and 3.
    assert as_it_came.metric_steps == pytest.approx((1.0, 1.1, 1.1), abs=1e-4)
    assert list(joining_remarks(as_it_came, plan_linked(90, 1))) == [
        "Windows of this metric depth differ by up to 10 % where they meet (half of them by more than 10.0 %). "
        "Give --align joint for a scale per window."
    ]
    assert list(joining_remarks(fitted, plan_linked(90, 1))) == []
    assert [fit.scale for fit in fitted.fits] == pytest.approx([1, 1, 1 / 1.1, 1], abs=1e-4)
    assert [fit.shift for fit in fitted.fits] == [0, 0, 0, 0]
    assert fitted.metric_steps == ()


def link(first: int, second: int, log_ratio: float, *, by_anchor: bool = False) -> Link:
    """A link of levels 1 in windows of spread 1, whose levels agree once they are scaled."""
    return Link(first, second, by_anchor, log_ratio, (1.0, float(np.exp(log_ratio))), (1.0, 1.0), (0.01, 0.01))


def test_one_link_that_contradicts_all_others_is_outvoted() -> None:
    """Twelve equal windows; the fifth has half of its contrast in what it shares with the fourth."""
    links = [link(k - 1, k, np.log(0.5) if k == 5 else 0.0) for k in range(1, 12)]
    links += [link(0, k, 0.0, by_anchor=True) for k in range(1, 12)]
    scales = fit_windows(links, [1.0] * 12, kind="inverse_depth").scales
    assert scales == pytest.approx([1.0] * 12, rel=0.02)


def test_windows_that_nothing_ties_across_a_gap_keep_the_median_scale_beside_it() -> None:
    """Windows 0 to 3 and 4 to 6, each group tied in itself: the larger one sets the scale."""
    links = [link(k - 1, k, ratio) for k, ratio in ((1, 0.1), (2, -0.1), (3, 0.0), (5, 0.0), (6, 0.0))]
    found = fit_windows(links, [1.0] * 7, kind="inverse_depth")
    assert found.untied == (4, 5, 6)
    beside = np.median(np.log(found.scales[1:4]))
    assert np.log(found.scales[4:]) == pytest.approx([beside] * 3, abs=1e-6)


def test_an_overlap_with_little_in_it_says_little_of_windows_with_much() -> None:
    """Frames that are nearly black have a 1000th of the window's spread, below what windows differ by anyway."""
    nearly_black = Link(1, 2, False, 0.7, (0.0, 0.0), (1e-3, 1e-3), (0.0, 0.0))
    links = [link(0, 1, 0.0), link(0, 2, 0.0, by_anchor=True), nearly_black]
    assert fit_windows(links, [1.0] * 3, kind="inverse_depth").scales == pytest.approx([1] * 3)


def test_frames_that_do_not_agree_are_left_out_of_a_link() -> None:
    random = np.random.default_rng(0)
    first = random.random((4, 500))
    second = 2 * first + 1
    second[2:] = random.random((2, 500))
    found = measure_link((0, 1), first, second, kind="inverse_depth", by_anchor=False)
    assert found is not None and found.log_ratio == pytest.approx(np.log(2), abs=1e-6)
    assert measure_link((0, 1), first[2:], second[2:], kind="inverse_depth", by_anchor=False) is None
    assert measure_link((0, 1), first, np.ones((4, 500)), kind="inverse_depth", by_anchor=False) is None
    assert measure_link((0, 1), first, 5 - second, kind="inverse_depth", by_anchor=False) is None
