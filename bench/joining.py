"""``make bench-joining``: how far depth drifts over long films, by each rule that windows are joined by.

    python -m bench.joining [--full] [--clips FOLDER ...] [--keep FOLDER] [--write]

Films of 2,200 frames with true depth go through windows as a network distorts them, and through the project's own
joining. ``--full`` takes four draws of each film, ``--clips`` adds RGB-D clips (folders of 16-bit depth in
millimetres, shown to and fro), ``--keep`` keeps true depth for the next time, ``--write`` puts the films' table
into docs/merging.md. The figures are also in build/bench-joining.json.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.distortion import HeldWindow, distorted_windows
from bench.films import HEIGHT, WIDTH, Film, clip_depth, films, true_depth
from vda.evaluation.steadiness import change, raw_seam
from vda.joining.align import Float32Array
from vda.joining.sequence import Alignment, SequenceDepth
from vda.metrics.video import VideoMetrics
from vda.scene.windows import kept_boundary

RULES: Final[tuple[Alignment, ...]] = ("sequential", "joint")
PAGE: Final = Path(__file__).parents[1] / "docs/merging.md"
RESULTS: Final = Path(__file__).parents[1] / "build/bench-joining.json"
BEGIN, END = "<!-- made by make bench-joining -->", "<!-- end -->"
# The farthest surface counted: what lies beyond is sky, or nearly.
_FARTHEST: Final = 99.5
# Frames between those that are judged, and frames on either side of a gap whose scales are held together.
_STRIDE: Final = 5
_BESIDE: Final = 300
# Windows before and behind a gap hold some of it: so many frames are left out of that.
_MARGIN: Final = 60


@dataclass(frozen=True)
class Judged:
    """``abs_rel`` as ``vda eval`` has it; ``drift``: deviation over frames of the log of the aligned inverse depth
    over the true, each frame's median; ``seam``: median seam score (1: none); ``after``: scale behind the gap over
    that before it, None where there is no gap."""

    abs_rel: float
    drift: float
    seam: float
    after: float | None


def judge(film: Film, depth: Float32Array, windows: Sequence[HeldWindow], rule: Alignment) -> Judged:
    """Join ``windows`` by ``rule`` and hold the result against the true ``depth`` in metres."""
    joined = SequenceDepth.fitted(0, len(depth), WIDTH, HEIGHT, windows.__getitem__, metric=False, align=rule)
    cap = float(np.percentile(depth[np.isfinite(depth)], _FARTHEST))
    metrics = VideoMetrics("inverse_depth", cap_m=cap)
    judged = [frame for frame in range(0, len(depth), _STRIDE) if frame not in film.broken]
    merged = {frame: joined.frame(frame) for frame in judged}
    for frame in judged:
        metrics.fit(merged[frame], depth[frame])
    logs = []
    for frame in judged:
        metrics.add(merged[frame], depth[frame])
        seen = np.isfinite(depth[frame]) & (depth[frame] < cap)
        logs.append(np.median(np.log(depth[frame][seen] / metrics.depth(merged[frame], depth[frame])[seen])))
    seams = list(_seams(joined, windows, film))
    return Judged(
        metrics.figures().abs_rel, float(np.std(logs)), float(np.median(seams)), _after_gap(film, merged, depth)
    )


def _seams(joined: SequenceDepth, windows: Sequence[HeldWindow], film: Film) -> Iterator[float]:
    for k in range(1, len(windows)):
        frame = kept_boundary(k)
        raw = raw_seam(k, windows[k - 1], windows[k])
        if raw is None or {frame - 1, frame} & film.broken:
            continue
        inside = abs(joined.fits[k - 1].scale) * raw.inside_old + abs(joined.fits[k].scale) * raw.inside_new
        yield 2 * change(joined.frame(frame - 1), joined.frame(frame)) / inside


def _after_gap(film: Film, merged: dict[int, Float32Array], depth: Float32Array) -> float | None:
    """The scale behind a gap over that before it: slopes of merged on true inverse depth."""
    gaps = [(start, stop) for _, start, stop in film.faults if start]
    if not gaps:
        return None
    start, stop = gaps[0]
    before, after = (
        _slope([(merged[frame], depth[frame]) for frame in places if frame in merged])
        for places in (range(start - _BESIDE, start - _MARGIN), range(stop + _MARGIN, stop + _BESIDE))
    )
    return after / before


def _slope(pairs: Iterable[tuple[Float32Array, Float32Array]]) -> float:
    merged, true = (np.concatenate(values) for values in zip(*_seen(pairs), strict=True))
    return float(np.polyfit(true, merged, 1)[0])


def _seen(pairs: Iterable[tuple[Float32Array, Float32Array]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for merged, depth in pairs:
        seen = np.isfinite(depth)
        yield merged[seen], 1 / depth[seen]


def rows(draws: int, clips: Sequence[Path], kept: Path | None) -> Iterator[tuple[str, dict[Alignment, Judged]]]:
    """Yield each film's name and its figures by rule, means over ``draws`` draws of the distortions."""
    for number, film in enumerate(films()):
        yield film.name, _by_rule(film, true_depth(film, kept), range(number, number + 1000 * draws, 1000))
    for folder in clips:
        film = Film(f"{folder.name}, to and fro", ())
        yield film.name, _by_rule(film, clip_depth(folder), range(draws))
        wrong = Film(f"{folder.name}: first frame 30 % off", (), anchor=0.3)
        yield wrong.name, _by_rule(wrong, clip_depth(folder), range(draws))


def _by_rule(film: Film, depth: Float32Array, seeds: range) -> dict[Alignment, Judged]:
    with np.errstate(divide="ignore"):
        inverse = np.where(np.isfinite(depth), 1 / depth, 0).astype(np.float32)
    # A network has a depth for holes of a sensor, too.
    holes = np.isnan(depth)
    inverse[holes] = np.median(inverse[~holes])
    drawn: dict[Alignment, list[Judged]] = {rule: [] for rule in RULES}
    for seed in seeds:
        windows = distorted_windows(film, inverse, seed)
        for rule in RULES:
            drawn[rule].append(judge(film, depth, windows, rule))
    return {rule: _mean(judged) for rule, judged in drawn.items()}


def _mean(judged: Sequence[Judged]) -> Judged:
    after = [each.after for each in judged if each.after is not None]
    return Judged(
        float(np.mean([each.abs_rel for each in judged])),
        float(np.mean([each.drift for each in judged])),
        float(np.mean([each.seam for each in judged])),
        float(np.mean(after)) if after else None,
    )


def table(found: Sequence[tuple[str, dict[Alignment, Judged]]]) -> str:
    """The page's table, and what follows from it."""
    names = " | ".join(f"{rule}: AbsRel | drift | seam | after" for rule in RULES)
    lines = [
        f"| film | {names} | AbsRel, joint / sequential |",
        f"|---|{'---|' * (4 * len(RULES) + 1)}",
    ]
    ratios = []
    for name, by_rule in found:
        ratios.append(by_rule["joint"].abs_rel / by_rule["sequential"].abs_rel)
        cells = " | ".join(_cells(by_rule[rule]) for rule in RULES)
        lines.append(f"| {name} | {cells} | {ratios[-1]:.3f} |")
    worse = [name for (name, _), ratio in zip(found, ratios, strict=True) if ratio > 1.01]
    said = "no film" if not worse else f"{len(worse)} of them ({'; '.join(worse)})"
    lines += [
        "",
        f"Over these {len(found)} films AbsRel is {np.mean(ratios):.3f} times as large jointly (mean), at most "
        f"{max(ratios):.3f} times; it is more than 1 % larger on {said}.",
    ]
    return "\n".join(lines)


def _cells(judged: Judged) -> str:
    after = "" if judged.after is None else f"{100 * judged.after:.0f} %"
    return f"{judged.abs_rel:.4f} | {judged.drift:.4f} | {judged.seam:.2f} | {after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.joining", description="How depth drifts, by rule.")
    parser.add_argument("--full", action="store_true", help="four draws of each film")
    parser.add_argument("--clips", nargs="*", type=Path, default=[], metavar="FOLDER", help="RGB-D clips")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where true depth is kept")
    parser.add_argument("--write", action="store_true", help="put the table into docs/merging.md")
    asked = parser.parse_args(arguments)
    found = []
    for name, by_rule in rows(4 if asked.full else 1, asked.clips, asked.keep):
        found.append((name, by_rule))
        print(f"{name}: {'; '.join(f'{rule} {_cells(by_rule[rule])}' for rule in RULES)}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    content = [{"film": name, **{rule: asdict(judged) for rule, judged in each.items()}} for name, each in found]
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    count = len(films())
    made = table(found[:count])
    print(made)
    if asked.clips:
        print(table(found[count:]))
    if asked.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")


if __name__ == "__main__":
    main()
