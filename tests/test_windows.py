"""The windows' arithmetic, against the published scheme written out by hand and properties for every length."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vda.scene.windows import Window, blend_weights, sequence_windows, window_count

lengths = st.integers(1, 600)
starts = st.integers(0, 10_000)


def test_first_window_holds_the_first_32_frames() -> None:
    assert Window(0, 100, 0).frame_indices == tuple(range(32))


def test_later_window_holds_two_anchors_and_thirty_frames_in_a_row() -> None:
    assert Window(0, 100, 1).frame_indices == (0, 12, *range(24, 54))
    assert Window(0, 100, 2).frame_indices == (0, 34, *range(46, 76))


def test_places_past_the_end_hold_the_last_frame() -> None:
    assert Window(0, 5, 0).frame_indices == (0, 1, 2, 3, 4) + (4,) * 27
    assert Window(0, 26, 1).frame_indices == (0, 12, 24, 25) + (25,) * 28


def test_a_shot_has_its_own_anchors() -> None:
    assert Window(700, 800, 1).frame_indices == (700, 712, *range(724, 754))


@pytest.mark.parametrize(
    ("frames", "windows"),
    [(1, 1), (22, 1), (23, 1), (25, 1), (26, 2), (47, 2), (48, 3), (6553, 298)],
)
def test_no_window_is_computed_that_changes_nothing(frames: int, windows: int) -> None:
    assert window_count(frames) == windows


def test_blend_weights_rise_from_nought_to_one_in_sevenths() -> None:
    assert blend_weights() == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1], abs=1e-15)


@settings(deadline=None)
@given(starts, lengths)
def test_kept_frames_tile_the_sequence_and_none_is_empty(start: int, length: int) -> None:
    kept = [window.kept for window in sequence_windows(start, start + length)]
    assert [frame for frames in kept for frame in frames] == list(range(start, start + length))
    assert all(kept)


@settings(deadline=None)
@given(starts, lengths)
def test_joining_by_the_published_rule_gives_every_frame_full_weight(start: int, length: int) -> None:
    """Blend as the public implementation does, window after window, and see who has a say in which frame."""
    shares = np.zeros((window_count(length), length + 64))
    shares[0, :32] = 1
    for k in range(1, len(shares)):
        shared = slice(22 * k + 2, 22 * k + 10)
        shares[:, shared] *= 1 - blend_weights()
        shares[k, shared] += blend_weights()
        shares[k, 22 * k + 10 : 22 * k + 32] = 1
    shares = shares[:, :length]
    assert shares.sum(axis=0) == pytest.approx(np.ones(length))
    for window in sequence_windows(start, start + length):
        seen = start + np.flatnonzero(shares[window.k])
        assert set(seen) <= set(window.frame_indices)
        assert set(seen) <= set(window.shown)
        assert seen[0] == window.kept.start


@settings(deadline=None)
@given(starts, lengths)
def test_a_frame_is_final_once_its_keeper_is_there(start: int, length: int) -> None:
    """No later window touches a kept frame with weight, so depth can be written window by window."""
    windows = list(sequence_windows(start, start + length))
    for window, after in pairwise(windows):
        assert after.shown.start + 1 == window.kept.stop
        assert after.frame_indices[1] in window.kept
    assert windows[-1].is_last and not any(window.is_last for window in windows[:-1])


@settings(deadline=None)
@given(starts, lengths)
def test_ids_sort_in_the_order_of_joining(start: int, length: int) -> None:
    ids = [window.id for window in sequence_windows(start, start + length)]
    assert sorted(set(ids)) == ids


@pytest.mark.parametrize("window", [(0, 25, 1), (0, 100, -1), (5, 5, 0), (-1, 5, 0)])
def test_a_window_that_is_not_there_is_refused(window: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="sequence"):
        Window(*window)
