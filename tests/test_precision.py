"""Which precision a device may use: by name, by what it computes, and for a whole scene."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vda.compute.precision import (
    Compute,
    Precision,
    PrecisionFigures,
    Proof,
    Verdict,
    agree,
    check_joining,
    check_window,
    compare,
    dtype_of,
    policy,
    prove,
    set_float32_means_float32,
)
from vda.errors import DeviceError
from vda.machine.devices import Device

Depth = NDArray[np.float32]
CPU = Device("cpu", "cpu", "Some Processor")
ALL: Verdict = Verdict("GPU 0 (card)", ("fp16", "bf16", "fp32"))


def gpu(name: str, capability: tuple[int, int] | None) -> Device:
    return Device("GPU-1", "cuda", name, index=1, capability=capability)


def window(seed: int = 0) -> Depth:
    """Depth between 0 and 10, exactly: the range, and so the unit of the differences, is 10."""
    values = np.random.default_rng(seed).uniform(0, 10, (32, 14, 28)).astype(np.float32)
    values[0, 0, :2] = 0, 10
    return values


def answers(**by_name: tuple[Depth, float]) -> Compute:
    return lambda name: by_name[name]


class TestPolicy:
    @pytest.mark.parametrize(
        "name",
        [
            "NVIDIA GeForce GTX 1660 Ti",
            "NVIDIA GeForce GTX 1660 SUPER",
            "GeForce GTX 1650",
            "NVIDIA GeForce GTX 1650 Ti with Max-Q Design",
            "NVIDIA GeForce GTX 1630",
            "NVIDIA T500",
            "NVIDIA T550 Laptop GPU",
            "NVIDIA T600 Laptop GPU",
            "NVIDIA T600",
            "NVIDIA T400 4GB",
            "NVIDIA T1000 8GB",
            "Quadro T1000",
            "Quadro T2000 with Max-Q Design",
            "T1200",
            "NVIDIA T1200 Laptop GPU",
            "GeForce MX450",
            "NVIDIA GeForce MX550",
        ],
    )
    def test_no_tensor_cores_by_name(self, name: str) -> None:
        verdict = policy(gpu(name, (7, 5)), "vits")
        assert verdict.candidates == ("fp32",)
        assert verdict.refused["fp16"] == "it has no tensor cores"

    @pytest.mark.parametrize(
        ("name", "capability", "expected"),
        [
            ("Tesla T4", (7, 5), ("fp16", "fp32")),
            ("NVIDIA T4", (7, 5), ("fp16", "fp32")),
            ("NVIDIA T4G", (7, 5), ("fp16", "fp32")),
            ("NVIDIA GeForce RTX 2060", (7, 5), ("fp16", "fp32")),
            ("NVIDIA TITAN RTX", (7, 5), ("fp16", "fp32")),
            ("Quadro RTX 5000", (7, 5), ("fp16", "fp32")),
            ("Tesla V100-SXM2-16GB", (7, 0), ("fp16", "fp32")),
            ("NVIDIA GeForce GTX 1080 Ti", (6, 1), ("fp32",)),
            ("Tesla P100-PCIE-16GB", (6, 0), ("fp32",)),
            ("NVIDIA A100-SXM4-40GB", (8, 0), ("fp16", "bf16", "fp32")),
            ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", (8, 0), ("fp16", "bf16", "fp32")),
            ("NVIDIA RTX A1000", (8, 6), ("fp16", "bf16", "fp32")),
            ("NVIDIA RTX A500 Laptop GPU", (8, 6), ("fp16", "bf16", "fp32")),
            ("NVIDIA RTX 2000 Ada Generation", (8, 9), ("fp16", "bf16", "fp32")),
            ("NVIDIA H200", (9, 0), ("fp16", "bf16", "fp32")),
            ("NVIDIA GeForce RTX 5090", (12, 0), ("fp16", "bf16", "fp32")),
            ("unknown GPU", None, ("fp32",)),
        ],
    )
    def test_by_capability(
        self, name: str, capability: tuple[int, int] | None, expected: tuple[Precision, ...]
    ) -> None:
        verdict = policy(gpu(name, capability), "vits")
        assert verdict.candidates == expected
        assert set(verdict.refused) == {"fp16", "bf16", "fp32"} - set(expected)

    def test_a_cpu_tries_bfloat16_where_it_has_units_and_the_model_is_large(self) -> None:
        able = replace(CPU, has_bf16=True)
        assert policy(CPU, "vits").candidates == policy(able, "mini").candidates == ("fp32",)
        assert policy(able, "vits").candidates == ("bf16", "fp32")


class TestCompare:
    def test_scale_and_shift_are_no_difference(self) -> None:
        full = window()
        figures = compare(full * np.float32(0.25) + np.float32(3), full, 1.0, 2.0)
        assert figures.scale == pytest.approx(4, rel=1e-5)
        assert figures.shift == pytest.approx(-12, rel=1e-5)
        assert figures.mean_difference == pytest.approx(0, abs=1e-6)
        assert figures.problem() is None

    def test_figures_are_fractions_of_float32s_range(self) -> None:
        full = window()
        noise = np.random.default_rng(1).choice([-0.05, 0.05], full.shape).astype(np.float32)
        figures = compare(full + noise, full, 1.0, 2.0)
        # Noise of 0.05 on a range of 10, which no scale or shift takes away: 0.5 % everywhere.
        assert figures.mean_difference == pytest.approx(0.005, rel=0.02)
        assert figures.p99_difference == pytest.approx(0.005, rel=0.05)
        assert figures.problem() is None

    @pytest.mark.parametrize(
        ("amount", "share", "words"),
        [(0.15, 1.0, "on average"), (0.7, 0.02, "1 % of its values"), (0.7, 0.005, None), (0.05, 1.0, None)],
    )
    def test_limits(self, amount: float, share: float, words: str | None) -> None:
        full = window()
        rng = np.random.default_rng(2)
        error = rng.choice([-amount, amount], full.shape) * (rng.random(full.shape) < share)
        problem = compare(full + error.astype(np.float32), full, 1.0, 2.0).problem()
        assert problem is None if words is None else words in (problem or "")

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_one_bad_value_is_enough(self, bad: float) -> None:
        half = window()
        half[31, 13, 27] = bad
        figures = compare(half, window(), 1.0, 2.0)
        assert not figures.is_finite
        assert figures.problem() == "its values are not finite"

    def test_constant(self) -> None:
        figures = compare(np.ones_like(window()), window(), 1.0, 2.0)
        assert figures.is_constant
        assert figures.problem() == "its values are all the same"

    def test_a_constant_reference_proves_nothing(self) -> None:
        problem = compare(window(), np.ones_like(window()), 1.0, 2.0).problem()
        assert problem is not None and "nothing to compare" in problem

    @pytest.mark.parametrize(("seconds", "passes"), [(0.9, True), (1.0, False), (1.1, False)])
    def test_no_faster_fails(self, seconds: float, passes: bool) -> None:
        problem = compare(window(), window(), seconds, 1.0).problem()
        assert (problem is None) == passes
        assert passes or "no faster" in (problem or "")


class TestProve:
    def test_every_candidate_is_judged_by_itself(self) -> None:
        broken = np.full_like(window(), np.nan)
        proof = prove(answers(fp16=(broken, 1.0), bf16=(window(), 1.0), fp32=(window(), 2.0)), ALL)
        assert proof.failed == {"fp16": "its values are not finite"}
        assert proof.figures["bf16"].mean_difference == pytest.approx(0, abs=1e-6)
        assert proof.figures["fp16"].mean_difference is None

    def test_what_is_worse_than_the_first_that_passes_is_not_tried(self) -> None:
        proof = prove(answers(fp16=(window(), 1.0), fp32=(window(), 2.0)), ALL)
        assert proof.tells("fp16") and not proof.tells("bf16")

    def test_float32_alone_needs_no_computing(self) -> None:
        def fails(name: Precision) -> tuple[Depth, float]:
            raise AssertionError("computed")

        proof = prove(fails, policy(gpu("NVIDIA GeForce GTX 1660 Ti", (7, 5)), "vits"))
        assert set(proof.failed) == {"fp16", "bf16"}
        assert proof.figures == {}

    def test_float32_that_is_not_finite_is_the_devices_fault(self) -> None:
        broken = np.full_like(window(), np.nan)
        with pytest.raises(DeviceError, match="even in float32"):
            prove(answers(fp16=(window(), 1.0), bf16=(window(), 1.0), fp32=(broken, 2.0)), ALL)

    def test_a_black_beginning_leaves_float32(self) -> None:
        black = np.zeros_like(window())
        proof = prove(answers(fp16=(black, 1.0), bf16=(black, 1.0), fp32=(black, 2.0)), ALL)
        assert agree([proof]).precision == "fp32"

    def test_what_pytorch_lacks_fails_and_what_breaks_is_raised(self) -> None:
        def compute(name: Precision) -> tuple[Depth, float]:
            if name == "fp16":
                raise NotImplementedError("\"conv\" not implemented for 'Half'")
            return window(), 1.0 if name == "bf16" else 2.0

        proof = prove(compute, ALL)
        assert list(proof.failed) == ["fp16"]
        assert "not implemented for 'Half'" in proof.failed["fp16"]

        def breaks(name: Precision) -> tuple[Depth, float]:
            raise torch.OutOfMemoryError("CUDA out of memory")

        with pytest.raises(torch.OutOfMemoryError):
            prove(breaks, ALL)

    def test_a_network_that_overflows_in_half_precision(self) -> None:
        # Beyond float16's largest number (65504) the square is infinite, and infinity less infinity is NaN.
        class Overflowing(torch.nn.Module):
            def forward(self, pixels: torch.Tensor) -> torch.Tensor:
                large = (pixels * 300) ** 2
                return large - large.mean(dim=-1, keepdim=True) + pixels

        pixels = torch.from_numpy(window())

        def compute(name: Precision) -> tuple[Depth, float]:
            depth = Overflowing()(pixels.to(dtype_of(name))).float().numpy()
            return depth, 2.0 if name == "fp32" else 1.0

        proof = prove(compute, ALL)
        assert proof.failed["fp16"] == "its values are not finite"
        assert "bf16" not in proof.failed
        assert check_window(compute("fp16")[0]) == "its values are not finite"
        assert check_window(compute("fp32")[0]) is None

    def test_the_record_survives_json(self) -> None:
        broken = np.full_like(window(), np.nan)
        proof = prove(answers(fp16=(broken, 1.0), bf16=(window(), 1.0), fp32=(window(), 2.0)), ALL)
        text = json.dumps(proof.to_record(), allow_nan=False)
        assert Proof.from_record(json.loads(text)) == proof


PASSES_ALL = Proof("GPU 0 (A100)")
NO_BF16 = Proof("GPU 1 (RTX 2060)", {"bf16": "it has compute capability 7.5, which is below 8.0"})
NO_FP16 = Proof("GPU 2 (odd)", {"fp16": "its values are not finite"})
NO_HALF = Proof("GPU 3 (GTX 1660 Ti)", dict.fromkeys(("fp16", "bf16"), "it has no tensor cores"))


class TestAgree:
    @pytest.mark.parametrize(
        ("proofs", "expected"),
        [
            ([PASSES_ALL], "fp16"),
            ([PASSES_ALL, NO_BF16], "fp16"),
            ([PASSES_ALL, NO_FP16], "bf16"),
            ([NO_BF16, NO_FP16], "fp32"),
            ([PASSES_ALL, NO_HALF], "fp32"),
            ([], "fp32"),
        ],
    )
    def test_the_best_that_every_device_passes(self, proofs: list[Proof], expected: Precision) -> None:
        assert agree(proofs).precision == expected

    def test_the_reason_names_who_failed_what_and_why(self) -> None:
        reason = agree([PASSES_ALL, NO_HALF, NO_HALF]).reason
        assert reason.startswith("float32, the best that every device passes.")
        assert "float16 fails on GPU 3 (GTX 1660 Ti) (and 1 more): it has no tensor cores." in reason
        assert "bfloat16 fails on" in reason

    @pytest.mark.parametrize(
        ("others", "words"),
        [
            ([], "float32, as is usual on a CPU."),
            (
                [PASSES_ALL],
                "float32, the best that every device passes. "
                "A CPU computes in float32 unless --precision asks for another.",
            ),
        ],
    )
    def test_a_cpu_is_told_once_and_in_plain_words(self, others: list[Proof], words: str) -> None:
        verdict = policy(CPU, "mini")
        proofs = [*others, Proof(verdict.device, verdict.refused)]
        assert agree(proofs).reason == words

    def test_a_cpu_with_units_tells_what_bfloat16_is_worth(self) -> None:
        verdict = policy(replace(CPU, has_bf16=True), "vits")
        proof = prove(answers(bf16=(window(), 2.0), fp32=(window(), 5.0)), verdict)
        assert agree([proof]).reason == (
            "bfloat16, the best that every device passes. It differs from float32 by 0.000% of the range on "
            "average, and is 2.5 times as fast. float16 is not tried on a CPU."
        )

    def test_without_units_a_cpu_beside_a_gpu_says_what_it_lacks(self) -> None:
        verdict = policy(CPU, "vits")
        assert (
            "bfloat16 fails on cpu: it has no units" in agree([PASSES_ALL, Proof("cpu", verdict.refused)]).reason
        )

    def test_the_reason_carries_the_largest_difference(self) -> None:
        def proof(mean: float) -> Proof:
            return Proof("GPU", {}, {"fp16": PrecisionFigures(True, False, mean, mean, 1.0, 0.0, 1.0, 2.0)})

        assert "by 0.250%" in agree([proof(0.0025), proof(0.001)]).reason

    def test_a_late_device_that_fails_is_refused_with_the_way_out(self) -> None:
        check_joining(NO_BF16, "fp16")
        with pytest.raises(DeviceError, match=r"begun in float16, which GPU 3 .* no tensor cores") as caught:
            check_joining(NO_HALF, "fp16")
        assert "--restart --precision fp32" in caught.value.remedy


class TestCheckWindow:
    @pytest.mark.parametrize(
        ("value", "expected"), [(math.nan, "not finite"), (math.inf, "not finite"), (-math.inf, "not finite")]
    )
    def test_a_single_value(self, value: float, expected: str) -> None:
        depth = window()
        depth[3, 2, 1] = value
        assert expected in (check_window(depth) or "")

    def test_constant_and_sound(self) -> None:
        assert check_window(np.full((32, 2, 2), 4, np.float32)) == "its values are all the same"
        assert check_window(window()) is None


@pytest.fixture
def restored_settings() -> Iterator[None]:
    settings = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = settings[0]
    torch.set_float32_matmul_precision(settings[1])


@pytest.mark.usefixtures("restored_settings")
def test_float32_means_float32() -> None:
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("medium")
    set_float32_means_float32()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
