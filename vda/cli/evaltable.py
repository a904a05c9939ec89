"""What ``vda eval`` prints for people: a row per figure, a column per thing measured, and the basis of it all."""

from typing import TYPE_CHECKING

from vda.shown import counted

if TYPE_CHECKING:
    from vda.comparing.truth import Evaluation
    from vda.metrics import Figures

_NAME_WIDTH, _WIDTH = 18, 11

# Title, decimals, and the name in the JSON.
_ROWS = (
    ("AbsRel", 4, "abs_rel"),
    ("SqRel, m", 4, "sq_rel"),
    ("RMSE, m", 4, "rmse"),
    ("RMSE log", 4, "rmse_log"),
    ("SILog, x 100", 3, "silog"),
    ("log10", 4, "log10"),
    ("delta1", 4, "delta1"),
    ("delta2", 4, "delta2"),
    ("delta3", 4, "delta3"),
    ("DBE acc, px", 3, "dbe_acc"),
    ("DBE com, px", 3, "dbe_com"),
    ("normals mean, deg", 2, "normal_mean"),
    ("normals median", 2, "normal_median"),
    ("below 11.25 deg", 4, "normal_a3"),
    ("below 22.5 deg", 4, "normal_a4"),
    ("below 30 deg", 4, "normal_a5"),
    ("TAE", 3, "tae"),
)
_ALIGNED = {
    "scale-shift": "scale {scale:.6g} and shift {shift:.6g} for the video, by least squares in {quantity}",
    "scale": "scale {scale:.6g} for the video, by least squares in {quantity}",
    "median": "scale {scale:.6g} of {quantity} for the video, by the medians of depth",
    "frame-median": "each frame's own scale, by its medians of depth: {scale:.6g} of {quantity} in the median, "
    "spread {scale_std:.1%}",
    "none": "not aligned",
}


def table(result: "Evaluation") -> list[str]:
    """Lines for a terminal."""
    columns = _columns(result)
    lines = [_line("", list(columns))]
    for title, decimals, name in _ROWS:
        values = [column.get(name) for column in columns.values()]
        if any(value is not None for value in values):
            lines.append(_line(title, ["-" if value is None else f"{value:.{decimals}f}" for value in values]))
    return [*lines, *_basis(result)]


def _line(title: str, cells: list[str]) -> str:
    return f"{title:<{_NAME_WIDTH}}" + "".join(f"{cell:>{_WIDTH}}" for cell in cells)


def _columns(result: "Evaluation") -> dict[str, dict[str, float | None]]:
    columns: dict[str, dict[str, float | None]] = {}
    for name, figures in result.rows.items():
        mark = " (!)" if figures.upside_down else ""
        columns[name + mark] = figures.to_json()
        if figures.upright is not None:
            columns[f"{name} up"] = figures.upright.to_json()
        if name == "depth":
            columns["by frame"] = figures.right_way_up.to_json()["over_frames"]["median"]
    return columns


def _basis(result: "Evaluation") -> list[str]:
    """What the figures were taken over, how the depth was aligned, and what to beware of."""
    measured = result.depth
    lines = [
        f"{counted(measured.frames, 'frame')} of {result.width} x {result.height}, "
        f"matched by {result.matched_by}; "
        f"{measured.pixels:,} pixels, {measured.coverage:.1%} of those with truth; {_aligned(result, measured)}; "
        f"truth from {result.least_m:g} m to {result.cap_m:g} m, border {result.border}, "
        f"crop {result.crop or 'none'}.",
        "By frame: the median over the frames of the depth's figures.",
    ]
    if (aligned := result.aligned) is not None:
        lines.append(
            f"Aligned: the same depth with scale {aligned.scale:.6g} and shift {aligned.shift:.6g} m for the "
            "video, by least squares in depth; what is left is the error of its layout."
        )
    if result.unmatched_depth or result.unmatched_truth:
        lines.append(
            f"Without a partner, and left out: {result.unmatched_depth} frames of depth and "
            f"{result.unmatched_truth} of truth."
        )
    if result.shots > 1 and result.kind == "inverse_depth" and result.align != "frame-median":
        lines.append(
            f"The depth has {result.shots} shots, each with a scale of its own, and one stands for all; "
            "to measure a shot alone, compute it with --frames A:B."
        )
    if result.upside_down:
        lines.append(
            f"(!) The best scale of {' and '.join(result.upside_down)} is negative: what is called near is far, "
            "on the whole. Judge by the column 'up', the best whose scale is not negative."
        )
    return lines


def _aligned(result: "Evaluation", measured: "Figures") -> str:
    quantity = "inverse depth" if result.kind == "inverse_depth" else "depth"
    return _ALIGNED[result.align].format(
        scale=measured.scale, shift=measured.shift, scale_std=measured.scale_std or 0.0, quantity=quantity
    )
