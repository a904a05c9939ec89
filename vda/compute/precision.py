"""Which precision a device can be trusted with, and the proof: one window computed both ways.

In: what a device is (``policy``) and what it computes (``prove``). Out: the one precision of a scene (``agree``)
with the reason in words, and the figures it rests on. This file does not know what network computes the window,
nor where the record is kept.

Half precision fails by what a device is, or by what it does. Capability does not tell: the GTX 16xx cards have 7.5
like the RTX 20xx, but no tensor cores, and give NaN in the temporal attention.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from vda.errors import DeviceError
from vda.joining.align import FitSums
from vda.machine.devices import Device
from vda.models.weights import MINI
from vda.network.packing import SlotEnds, WindowCodes, slot_ends
from vda.records import filled

if TYPE_CHECKING:
    import torch

Precision = Literal["fp16", "bf16", "fp32"]
Depth = npt.NDArray[np.float32]
Compute = Callable[[Precision], tuple[Depth, float]]

BEST_FIRST: Final[tuple[Precision, ...]] = ("fp16", "bf16", "fp32")
"""float16 before bfloat16: the same speed with a mantissa of 10 bits instead of 7."""

WORDS: Final[Mapping[Precision, str]] = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}

_BY_DEFAULT_ON_A_CPU: Final = "A CPU computes in float32 unless --precision asks for another"
_NOT_ON_A_CPU: Final = "float16 is not tried on a CPU"
_NO_UNITS: Final = "it has no units for it (AMX or AVX512-BF16)"

# Of float32's range. Sound rounding of the built-in model is 0.04 and 0.17 % in bfloat16, a tenth of that in
# float16 (a CPU, the sample's first window): what exceeds these is broken.
MEAN_LIMIT: Final = 0.01
P99_LIMIT: Final = 0.05

# The small Turing chips (TU116, TU117) by the names they are sold under. "T4" is another chip, with tensor cores.
_NO_TENSOR_CORES = re.compile(r"\b(GTX 16\d\d|T(400|500|550|600|1000|1200|2000)|MX[45]\d\d)(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What of half precision is worth trying on ``device`` (a label). ``refused``: the reason for all else."""

    device: str
    candidates: tuple[Precision, ...]
    refused: Mapping[Precision, str] = field(default_factory=dict)

    def narrowed(self, precision: str) -> "Verdict":
        """Nothing but ``precision`` is to be tried, against float32."""
        return replace(self, candidates=tuple(name for name in self.candidates if name in (precision, "fp32")))


@dataclass(frozen=True)
class PrecisionFigures:
    """A half-precision window against float32's, after a fit of scale and shift.

    Differences are fractions of the range of float32's window; None where there is nothing to compare.
    """

    is_finite: bool
    is_constant: bool
    mean_difference: float | None
    p99_difference: float | None
    scale: float
    shift: float
    seconds: float
    fp32_seconds: float

    def problem(self, *, must_be_faster: bool = True) -> str | None:
        """Why this precision is not to be trusted, as the end of a sentence; None where it passes."""
        if not self.is_finite:
            return "its values are not finite"
        if self.is_constant:
            return "its values are all the same"
        if self.mean_difference is None or self.p99_difference is None:
            return "float32's window is constant, so there is nothing to compare"
        if self.mean_difference > MEAN_LIMIT:
            return f"it differs from float32 by {self.mean_difference:.1%} on average (limit {MEAN_LIMIT:.0%})"
        if self.p99_difference > P99_LIMIT:
            return f"1 % of its values differ by over {self.p99_difference:.1%} (limit {P99_LIMIT:.0%})"
        if must_be_faster and self.seconds >= self.fp32_seconds:
            return f"it is no faster than float32 ({self.seconds:.2f} s against {self.fp32_seconds:.2f} s)"
        return None


@dataclass(frozen=True)
class Proof:
    """What a device passes. ``failed``: why, for each precision that it fails; ``figures``: what was tried.

    A precision in neither of them is worse than the first that passed, and was not tried.
    """

    device: str
    failed: Mapping[Precision, str] = field(default_factory=dict)
    figures: Mapping[Precision, PrecisionFigures] = field(default_factory=dict)

    def tells(self, precision: Precision) -> bool:
        """Whether it is known if the device passes ``precision``."""
        return precision == "fp32" or precision in self.failed or precision in self.figures

    def after(self, earlier: "Proof | None") -> "Proof":
        """This proof with what an ``earlier`` one of the same device says."""
        if earlier is None:
            return self
        return Proof(self.device, {**earlier.failed, **self.failed}, {**earlier.figures, **self.figures})

    def to_record(self) -> dict[str, Any]:
        """Return the proof as a JSON value."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Any) -> "Proof":
        """Read what ``to_record`` gave; raise ``ShapeError`` for anything else."""
        found: Proof = filled(cls, record)
        return found


@dataclass(frozen=True)
class Agreement:
    """The one precision of a scene, and why, in whole sentences."""

    precision: Precision
    reason: str


def dtype_of(precision: str) -> "torch.dtype":
    """PyTorch's type. Who only chooses needs no PyTorch, whose import takes more than a second."""
    import torch

    return {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]


def policy(device: Device, model: str) -> Verdict:
    """Say what of half precision a device may try, by what it is.

    The built-in model stays in float32 on any CPU: it is quick, and is to give the same depth wherever it runs.
    """
    refused = _refused_by_kind(device)
    if device.kind == "cpu" and model == MINI:
        refused = dict.fromkeys(("fp16", "bf16"), _BY_DEFAULT_ON_A_CPU)
    return Verdict(device.label, tuple(name for name in BEST_FIRST if name not in refused), refused)


def _refused_by_kind(device: Device) -> dict[Precision, str]:
    if device.kind == "cpu":
        return {"fp16": _NOT_ON_A_CPU} if device.has_bf16 else {"fp16": _BY_DEFAULT_ON_A_CPU, "bf16": _NO_UNITS}
    if device.kind == "openvino":
        return dict.fromkeys(("fp16", "bf16"), "OpenVINO computes in float32 on a GPU here")
    if device.kind in ("mps", "rocm"):
        # Nothing is known of them but what their trial shows.
        return {}
    if _NO_TENSOR_CORES.search(device.name):
        return dict.fromkeys(("fp16", "bf16"), "it has no tensor cores")
    if device.capability is None:
        return dict.fromkeys(("fp16", "bf16"), "it does not tell its compute capability")
    have = "it has compute capability {}.{}".format(*device.capability)
    if device.capability < (7, 0):
        return dict.fromkeys(("fp16", "bf16"), f"{have}, which is below 7.0")
    if device.capability < (8, 0):
        return {"bf16": f"{have}, which is below 8.0"}
    return {}


def compare(half: Depth, full: Depth, seconds: float, fp32_seconds: float) -> PrecisionFigures:
    """Hold a half-precision window against float32's, both ``[32, h, w]`` of the same frames.

    One scale and one shift for the whole window are fitted first: joining windows does that anyway.
    """
    is_finite = _is_finite(half)
    span = float(full.max()) - float(full.min())
    fit = FitSums()
    if is_finite:
        for frame, reference in zip(half, full, strict=True):
            fit.add(frame, reference)
    fitted = fit.solve()
    mean = p99 = None
    if is_finite and span > 0:
        # Not ScaleShift.apply: clipping at 0 is for joined windows, and would hide differences here.
        difference = np.abs(half * np.float32(fitted.scale) + np.float32(fitted.shift) - full)
        mean = float(difference.mean(dtype=np.float64)) / span
        p99 = float(np.percentile(difference, 99)) / span
    is_constant = bool(half.min() == half.max())
    return PrecisionFigures(is_finite, is_constant, mean, p99, fitted.scale, fitted.shift, seconds, fp32_seconds)


def prove(
    compute: Compute, verdict: Verdict, by_pytorch: Callable[[], tuple[Depth, float]] | None = None
) -> Proof:
    """Compute one window in float32 and in the candidates of ``verdict``, down to the first that passes.

    ``compute`` takes a precision and returns the window (float32 ``[32, h, w]``) with the seconds it took warm;
    what it raises is not caught here, unless PyTorch merely lacks that precision there. With float32 the only
    candidate nothing is computed: there is nothing to choose. Raises ``DeviceError`` where float32 is not finite.

    With ``by_pytorch``, the window in float32 by PyTorch, ``compute`` is another engine: held against that window
    in half precision, and in float32 if that fails; ``DeviceError`` where it fails in both.
    """
    halves = [name for name in verdict.candidates if name != "fp32"]
    if not halves and by_pytorch is None:
        return Proof(verdict.device, verdict.refused)
    full, fp32_seconds = compute("fp32") if by_pytorch is None else by_pytorch()
    # A constant window passes here: a video that begins in black gives one, and that is no device's fault.
    if not _is_finite(full):
        raise DeviceError(
            f"{verdict.device} gives values that are not finite, even in float32.",
            "Leave that device out of --devices, and check the weights with 'vda weights verify'.",
        )
    failed = dict(verdict.refused)
    figures: dict[Precision, PrecisionFigures] = {}
    for name in halves:
        try:
            half, seconds = compute(name)
        except NotImplementedError as error:
            failed[name] = f"PyTorch cannot compute it there ({error})"
            continue
        figures[name] = compare(half, full, seconds, fp32_seconds)
        reason = figures[name].problem()
        if reason is None:
            break
        failed[name] = reason
    else:
        if by_pytorch is not None:
            own, seconds = compute("fp32")
            figures["fp32"] = compare(own, full, seconds, fp32_seconds)
            _require_the_same(verdict.device, figures["fp32"])
    return Proof(verdict.device, failed, figures)


def _require_the_same(device: str, figures: PrecisionFigures) -> None:
    reason = figures.problem(must_be_faster=False)
    # A film that begins in black has nothing to compare.
    if reason is not None and not figures.is_constant:
        raise DeviceError(
            f"The engine that was asked for is not to be trusted on {device}: {reason}.",
            "Leave --engine out, and give --restart where the scene was begun with it.",
        )


def by_name(asked: Precision) -> Agreement:
    """What was asked for needs no proof: each window is checked (``check_window``), and that is all."""
    return Agreement(asked, f"{WORDS[asked]}, because it was asked for.")


def agree(proofs: Sequence[Proof]) -> Agreement:
    """Choose the best precision that every device passes; with no proofs (they are elsewhere) it is float32."""
    if not proofs:
        return Agreement("fp32", "float32, because no device could be tried before the start.")
    if all(proof.failed.get("fp16") == _BY_DEFAULT_ON_A_CPU for proof in proofs):
        return Agreement("fp32", "float32, as is usual on a CPU.")
    passed = next(name for name in BEST_FIRST if not any(name in proof.failed for proof in proofs))
    better = BEST_FIRST[: BEST_FIRST.index(passed)]
    return Agreement(
        passed,
        f"{WORDS[passed]}, the best that every device passes.{_figures_sentence(proofs, passed)}"
        + "".join(dict.fromkeys(_failing_sentence(proofs, name) for name in better)),
    )


def check_joining(proof: Proof, precision: Precision) -> None:
    """Raise ``DeviceError`` where a device that joins a begun scene fails the scene's precision."""
    if reason := proof.failed.get(precision):
        raise DeviceError(
            f"The scene was begun in {WORDS[precision]}, which {proof.device} fails: {reason}.",
            "Leave that device out of --devices, or start over with --restart --precision fp32.",
        )


def check_window(depth: Depth | WindowCodes, ends: SlotEnds | None = None) -> str | None:
    """Say what is wrong with a raw window, as the end of a sentence; None where it is finite and not constant.

    ``ends`` are those of ``depth``, where somebody has looked for them already.
    """
    if isinstance(depth, WindowCodes):
        if not np.isfinite([depth.offset, depth.step]).all():
            return "its values are not finite"
        return None if depth.step > 0 else "its values are all the same"
    minima, maxima = ends or slot_ends(depth)
    # They carry NaN and infinity along.
    if not np.isfinite([minima, maxima]).all():
        return "its values are not finite"
    return "its values are all the same" if minima.min() == maxima.max() else None


def set_float32_means_float32() -> None:
    """Switch TF32 off: from Ampere on PyTorch lets convolutions use it by default, with a mantissa of 10 bits."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def _is_finite(depth: Depth) -> bool:
    # Minimum and maximum carry NaN and infinity along, and need no copy of the window.
    return bool(np.isfinite(depth.min()) and np.isfinite(depth.max()))


def _failing_sentence(proofs: Sequence[Proof], precision: Precision) -> str:
    failing = [(proof.device, proof.failed[precision]) for proof in proofs if precision in proof.failed]
    if not failing:
        return ""
    device, reason = failing[0]
    if reason in (_BY_DEFAULT_ON_A_CPU, _NOT_ON_A_CPU):
        return f" {reason}."
    others = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
    return f" {WORDS[precision]} fails on {device}{others}: {reason}."


def _figures_sentence(proofs: Sequence[Proof], precision: Precision) -> str:
    figures = [proof.figures[precision] for proof in proofs if precision in proof.figures]
    means = [each.mean_difference for each in figures if each.mean_difference is not None]
    if not means:
        return ""
    times = min(each.fp32_seconds / each.seconds for each in figures if each.seconds > 0)
    return (
        f" It differs from float32 by {max(means):.3%} of the range on average, and is {times:.1f} times as fast."
    )
