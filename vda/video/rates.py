"""What frame times come to: the exact rate, times that rise, the frames of another rate. Knows no files."""

from fractions import Fraction

import numpy as np

# What cameras, screens and time-lapses use; NTSC made 1000/1001 of some of them.
_WHOLE_RATES = (1, 2, 3, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 200, 240)
_NTSC_RATES = (24, 30, 48, 60, 120, 240)
STANDARD_RATES = sorted(
    [Fraction(rate) for rate in _WHOLE_RATES] + [Fraction(rate * 1000, 1001) for rate in _NTSC_RATES]
)
# Above half, so that the median is one of the equal steps; below all, for lost frames leave gaps.
_STEADY_SHARE = 0.9
_STEADY_SPREAD = 0.02
_SNAP = 0.002
# Two digits behind the point; 24 and 24000/1001 are five times as far apart.
_AS_WRITTEN = 0.0002
# A time that is wrong stands alone or nearly; what this many frames agree on is a clock. Where it leaps back by
# more than a frame, one fewer is enough.
_AGREEING = 3


def plain_rate(fps: float | Fraction, most: int = 1001) -> Fraction:
    """``fps``, above 0, by whole numbers of which the smaller is ``most`` at most: 30000/1001, or 1/3600."""
    exact = Fraction(fps)
    # Below one frame a second the nearest fraction with a small denominator may be 0.
    return exact.limit_denominator(most) if exact >= 1 else 1 / (1 / exact).limit_denominator(most)


def stated_fps(fps: float) -> Fraction:
    """What is meant by a rate as people write it: 23.976 and 23.98 are 24000/1001."""
    exact = plain_rate(fps)
    nearest = min(STANDARD_RATES, key=lambda standard: _distance(standard, exact))
    return nearest if _distance(nearest, exact) <= _AS_WRITTEN else exact


def true_frame_rate(pts: np.ndarray, time_base: Fraction, claimed: Fraction) -> Fraction:
    """Return frames per second for frames shown at ``pts`` (int64 [n]) times ``time_base`` seconds.

    Where nine tenths of the steps are equal (but for rounding to a tick) the rate is theirs, whatever gaps there
    are, and comes out as ``claimed`` or a standard rate if one lies within 0.2 %. Otherwise the rate varies, and
    the mean is returned, or ``claimed`` if it lies within 0.5 % of that.
    """
    steps = np.diff(pts)
    if not (steps > 0).any():
        return claimed
    median = float(np.median(steps))
    rounding = min(1.0, 0.4 * median)  # times are whole ticks; of a coarse clock one tick is a frame of its own
    steady = np.abs(steps - median) <= max(rounding, _STEADY_SPREAD * median)
    if median <= 0 or steady.mean() < _STEADY_SHARE:
        mean = 1 / (Fraction(int(steps[steps > 0].sum()), len(steps)) * time_base)
        return claimed if _distance(claimed, mean) <= 0.005 else plain_rate(mean)
    rate = 1 / (Fraction(int(steps[steady].sum()), int(steady.sum())) * time_base)
    if _distance(claimed, rate) <= _SNAP:
        return claimed
    nearest = min(STANDARD_RATES, key=lambda standard: _distance(standard, rate))
    return nearest if _distance(nearest, rate) <= _SNAP else plain_rate(rate)


def rising_times(pts: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """``pts`` (int64 [n], ticks) as a clip can show them, int64 [n], and the places where the clock was set back.

    A time that repeats or steps back for a frame or two becomes one tick more than the one before, and a single
    time that is far ahead likewise: those behind keep theirs. Where the clock itself jumps back, as where
    recordings were strung together, or stands still, times go on one usual step after the last, and those behind
    keep their distance to it.
    """
    steps = np.diff(pts)
    if (steps > 0).all():
        return pts, ()
    usual = max(1, int(np.median(steps[steps > 0]))) if (steps > 0).any() else 1
    shown, set_back, offset = pts.tolist(), [], 0
    for place in range(1, len(shown)):
        last, time = shown[place - 1], shown[place] + offset
        ahead = (pts[place + 1 : place + 1 + _AGREEING] + offset).tolist()
        if time <= last and _is_clock(last, ahead, leaps=last - time > usual):
            set_back.append(place)
            offset += last + usual - time
            time = last + usual
        elif time <= last or _is_far_ahead(last, time, ahead):
            time = last + 1
        shown[place] = time
    return np.array(shown, np.int64), tuple(set_back)


def _is_clock(last: int, ahead: list[int], *, leaps: bool) -> bool:
    """Whether the times ``ahead`` of one that is not behind ``last`` bear it out."""
    if leaps:
        return max(ahead[: _AGREEING - 1], default=last) <= last
    return len(ahead) == _AGREEING and max(ahead) <= last


def _is_far_ahead(last: int, time: int, ahead: list[int]) -> bool:
    return len(ahead) == _AGREEING and last < ahead[0] and max(ahead) < time


def _distance(candidate: Fraction, rate: Fraction) -> float:
    return abs(float(candidate / rate) - 1)


def nearest_frames(times_s: np.ndarray, fps: Fraction | float) -> np.ndarray:
    """Indices int64 of the frames nearest to 0, 1, 2, ... ticks of ``fps``, to the end of the last frame.

    ``times_s`` float64 [n] (n >= 1) begin at 0 and never fall; of two frames as near the earlier is taken. The
    last frame is taken to last as frames mostly do. Indices repeat where a frame is nearest to several ticks.
    """
    step = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
    tick = 1 / float(fps)
    # Clocks round: a tick within half a step of the end is not worth a frame of its own.
    end = times_s[-1] + step - min(step, tick) / 2
    ticks = np.arange(max(1, int(np.ceil(end / tick)))) * tick
    after = np.searchsorted(times_s, ticks).clip(1, max(1, len(times_s) - 1))
    before = after - 1
    if len(times_s) == 1:
        return np.zeros(len(ticks), np.int64)
    later = times_s[after] - ticks < (ticks - times_s[before]) * (1 - 1e-6)
    return np.where(later, after, before).astype(np.int64)
