"""What was asked for becomes what is used: the model, its weights, the network's size, the precision.

In: settings as somebody typed them, and devices. Out: each scene's ``run.json``, fixed before its first window. A
scene that was begun goes on with what it has, or is refused. This file does not know how anything is computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from vda import __version__
from vda.errors import UsageError
from vda.machine.devices import Device
from vda.machine.packages import require_package
from vda.models.weights import CHECKPOINTS, ModelChoice, Obtain, WeightsFile, choose_model, require_fitting
from vda.network.preprocess import net_size
from vda.network.presets import PRESETS
from vda.records import Within, require_sound
from vda.reporter import Reporter
from vda.scene.scene import DeviceProof, RunRecord, Scene
from vda.supervisor import Crew, PaceTelling, Trials, prove_devices

if TYPE_CHECKING:
    from vda.compute.precision import Proof

Place = Literal["local", "inline", "slurm", "ray"]


@dataclass(frozen=True)
class RunSettings:
    """What a run is asked for; None and ``auto`` are resolved here and written down in the scene."""

    model: str = "auto"
    weights: Path | None = None
    input_size: Annotated[int, Within(1)] | None = None
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    devices: str = "auto"
    batch_size: Annotated[int, Within(0)] = 0
    threads: Annotated[int, Within(1)] | None = None
    on: Place = "local"
    retries: Annotated[int, Within(0)] = 3
    restart: bool = False
    engine: Literal["torch", "openvino"] | None = None
    decoder: Literal["cpu", "gpu"] = "cpu"
    slurm: tuple[str, ...] = ()
    """sbatch's options, as ``NAME=VALUE``."""
    ray_address: str | None = None
    """The Ray cluster to use; None: what RAY_ADDRESS says, or one of this machine's own."""
    stage_video: str | None = None
    """Where a cluster's nodes keep a copy of the video; None: they read the shared file."""
    prove: bool = False
    """Whether first jobs try half precision on a cluster's nodes; devices of this machine are tried anyhow."""

    def __post_init__(self) -> None:
        """Refuse, with ``UsageError``, what no machine could run."""
        require_sound(self)
        if self.prove and (self.on not in ("slurm", "ray") or self.precision != "auto"):
            raise UsageError(
                "--prove is for --on slurm and --on ray, where no --precision is named.",
                "Leave it out: this machine's devices are proven anyhow, and what is named needs no proof.",
            )
        for name, value, place in (("--slurm", self.slurm, "slurm"), ("--ray-address", self.ray_address, "ray")):
            if value and self.on != place:
                raise UsageError(
                    f"{name} is of no use without --on {place}.", f"Leave it out, or give --on {place}."
                )
        if self.model not in ("auto", *CHECKPOINTS):
            raise UsageError(
                f"There is no model called {self.model}.", f"Choose one of: auto, {', '.join(CHECKPOINTS)}."
            )
        if self.stage_video is not None and self.on not in ("slurm", "ray"):
            raise UsageError(
                "--stage-video is for machines that share the video, and this one computes alone.",
                "Leave it out, or give --on slurm or --on ray.",
            )


@dataclass
class Resolver:
    """Fixes what scenes of one run are computed with. Models and proofs are looked into once for all of them.

    Whoever only asks what a start would do says what is done about weights that are not here (``obtain``; None:
    they are fetched), and what proofs are taken to be (``guess``; None: devices are tried).
    """

    settings: RunSettings
    devices: Sequence[Device]
    crew: Crew
    reporter: Reporter
    obtain: Obtain | None = None
    guess: "Callable[[RunRecord, Sequence[Device]], dict[str, Proof]] | None" = None
    _models: dict[tuple[str, Path | None], ModelChoice] = field(default_factory=dict, init=False)
    _proofs: dict[tuple[object, ...], "dict[str, Proof]"] = field(default_factory=dict, init=False)
    _trials: list[Trials] = field(default_factory=list, init=False)
    """Those of the scene in hand, whose windows are not kept yet."""

    def fix(self, scene: Scene) -> None:
        """Write down what ``scene`` is computed with; one that was begun goes on with what it has.

        May fetch weights and try devices; says what a user must know. Raises ``SceneError`` where the scene was
        begun with something else, ``DeviceError`` where a device fails the precision it was begun in.
        """
        begun = scene.run_record()
        if begun is None:
            record = self._with_precision(scene, self._draft(scene, self.settings))
            scene.write_run(record)
            self._keep_tried(record)
            return
        asked = replace(
            self.settings,
            model=begun.model if self.settings.model in ("auto", begun.asked_model) else self.settings.model,
            input_size=begun.input_size if self.settings.input_size is None else self.settings.input_size,
            engine=self.settings.engine or begun.engine,  # type: ignore[arg-type]
            weights=self.settings.weights or _same_weights(begun, self.settings.model),
        )
        precision = begun.precision if asked.precision == "auto" else asked.precision
        draft = replace(self._draft(scene, asked), precision=precision, asked_model=begun.asked_model)
        scene.write_run(replace(draft, proofs=begun.proofs))
        is_named = {begun.asked_precision, self.settings.precision} != {"auto"}
        if precision != "fp32" and not is_named:
            scene.write_run(replace(draft, proofs=(*begun.proofs, *self._joining(scene, begun))))
            self._keep_tried(begun)

    def draft(self, scene: Scene) -> RunRecord:
        """What ``scene`` would be begun with, in float32 for now; it may fetch weights, and writes nothing."""
        return self._draft(scene, self.settings)

    def _draft(self, scene: Scene, settings: RunSettings) -> RunRecord:
        """All but the precision, which is float32 for now."""
        choice = self._choose(settings, is_new=scene.run_record() is None)
        preset = PRESETS[choice.model]
        size = preset.input_size if settings.input_size is None else settings.input_size
        width, height = net_size(*scene.picture().largest().box.size, size, preset.patch)
        return RunRecord(
            model=choice.model,
            asked_model=settings.model,
            licence=choice.weights.licence,
            weights_sha256=choice.weights.sha256,
            weights_path=str(choice.weights.path.resolve()),
            weights_source=choice.weights.source,
            metric=preset.metric,
            input_size=size,
            net_width=width,
            net_height=height,
            precision="fp32",
            precision_reason="",
            version=__version__,
            asked_precision=settings.precision,
            engine=self._engine(settings),
        )

    def _engine(self, settings: RunSettings) -> str:
        intel = [device for device in self.devices if device.kind == "openvino"]
        if settings.engine != "openvino":
            if intel:
                raise UsageError(
                    f"{intel[0].label} computes by OpenVINO alone.", "Give --engine openvino with it."
                )
            return "torch"
        require_package("openvino", "--engine openvino", "openvino")
        if settings.precision == "fp16" or any(device.kind not in ("cpu", "openvino") for device in self.devices):
            raise UsageError(
                "--engine openvino computes on CPUs and Intel GPUs alone, in float32 or bfloat16.",
                "Give --devices cpu and another --precision, or leave --engine out.",
            )
        if intel and settings.precision == "bf16":
            raise UsageError(
                f"{intel[0].label} computes in float32 alone.", "Give --precision fp32, or leave it out."
            )
        return "openvino"

    def _choose(self, settings: RunSettings, *, is_new: bool) -> ModelChoice:
        key = (settings.model, settings.weights)
        if key not in self._models:
            has_gpu = any(device.kind != "cpu" for device in self.devices)
            choice = choose_model(settings.model, settings.weights, has_gpu=has_gpu, obtain=self.obtain)
            for notice in choice.notices:
                self.reporter.say(notice)
            if is_new and choice.weights.is_here:
                # Before any worker: a checkpoint that does not fit is an input error, not a failed chunk.
                require_fitting(choice.weights, keep=self.obtain is None)
            self._models[key] = choice
        return self._models[key]

    def weights_of(self, record: RunRecord) -> WeightsFile:
        """The weights that a scene was ``fix``ed with here."""
        return next(choice.weights for choice in self._models.values() if choice.model == record.model)

    def _with_precision(self, scene: Scene, draft: RunRecord) -> RunRecord:
        """Choose the best precision that every device passes, or the one asked for, with the reason in words."""
        from vda.compute.precision import agree, by_name

        asked = self.settings.precision
        proofs = {} if asked != "auto" else self._prove(scene, draft, self.devices)
        agreement = agree(list(proofs.values())) if asked == "auto" else by_name(asked)
        if agreement.precision != "fp32" or asked != "auto":
            self.reporter.say(f"Precision: {agreement.reason}")
        return replace(
            draft, precision=agreement.precision, precision_reason=agreement.reason, proofs=_records(proofs)
        )

    def _joining(self, scene: Scene, begun: RunRecord) -> tuple[DeviceProof, ...]:
        """Try devices that the scene has not seen; one that fails its precision is refused."""
        from vda.compute.precision import check_joining

        known = {proof.id for proof in begun.proofs}
        joining = [device for device in self.devices if device.id not in known]
        proofs = self._prove(scene, begun, joining, begun.precision)
        for proof in proofs.values():
            check_joining(proof, begun.precision)  # type: ignore[arg-type]
        return _records(proofs)

    def _prove(
        self, scene: Scene, record: RunRecord, devices: Sequence[Device], only: str | None = None
    ) -> "dict[str, Proof]":
        key = (record.model, record.weights_sha256, record.input_size, only, *(device.id for device in devices))
        if key not in self._proofs and self.guess is not None:
            self._proofs[key] = self.guess(record, devices)
        if key not in self._proofs:
            telling = PaceTelling(self.reporter, devices, {scene: record})
            self._trials.append(Trials(self.crew, scene, record, telling))
            self._proofs[key] = prove_devices(self._trials[-1], devices, only)
        return self._proofs[key]

    def _keep_tried(self, record: RunRecord) -> None:
        """Keep what trials computed, now that it is known which of it is the scene's."""
        while self._trials:
            self._trials.pop().keep(record)


def _records(proofs: "dict[str, Proof]") -> tuple[DeviceProof, ...]:
    return tuple(DeviceProof(device, **proof.to_record()) for device, proof in proofs.items())


def _same_weights(begun: RunRecord, model: str) -> Path | None:
    return Path(begun.weights_path) if model in ("auto", begun.asked_model, begun.model) else None
