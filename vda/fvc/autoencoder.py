"""Pictures through an autoencoder and back: what a generative model's own coding leaves of them.

In: the name or folder of a Hugging Face ``AutoencoderKL``, RGB pictures of any size. Out: pictures of the same
size. The mean of what the encoder says is taken, never a sample: the same pictures twice. This file does not know
videos, nor what happens when memory runs out.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vda.errors import DeviceError, UsageError, VdaError, WeightsError, WorkError
from vda.machine.host import host_memory
from vda.models.hub import cached, fetch

if TYPE_CHECKING:
    import torch

_CONFIG: Final = "config.json"
_STEM: Final = "diffusion_pytorch_model"
_ENDING: Final = ".safetensors"
# Some models are stored in half precision only, which their files' names then say.
_VARIANTS: Final = ("", "fp16", "bf16")
# OWNER/NAME, or NAME alone.
_REPOSITORY: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_WHOLE_MODEL: Final = "model_index.json"
_HUB_TIMEOUT_S: Final = 10.0
# At full size the decoder holds at least three maps of twice its first width: more is surely too much.
_LEAST_MAPS: Final = 6


class Autoencoder:
    """A loaded model on its device; calling it takes pictures through, so many at once."""

    def __init__(self, model: Any, device: str) -> None:
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = device

    @property
    def dtype(self) -> "torch.dtype":
        """The model's own, which pictures take on their way."""
        dtype: torch.dtype = next(self._model.parameters()).dtype
        return dtype

    @property
    def factor(self) -> int:
        """Pixels to a cell of the code, each way: sizes are padded to a multiple of it."""
        return int(2 ** (len(self._model.config.block_out_channels) - 1))

    def __call__(self, pictures: Iterable[np.ndarray], chunk_size: int) -> Iterator[np.ndarray]:
        """Yield each RGB uint8 picture as the model gives it back, float32 of the same shape, levels 0 to 255.

        Raises ``MemoryError``, or what torch raises, where so many at once do not fit.
        """
        chunk: list[np.ndarray] = []
        for picture in pictures:
            chunk.append(picture)
            self._require_room(len(chunk), picture.shape)
            if len(chunk) == chunk_size:
                together, chunk = np.stack(chunk), []
                yield from self.reconstruct(together)
        if chunk:
            yield from self.reconstruct(np.stack(chunk))

    def _require_room(self, count: int, shape: tuple[int, ...]) -> None:
        """Raise ``MemoryError`` for what is surely too much; a CPU's would be found out by the kernel's killer."""
        channels = self._model.config.block_out_channels[0]
        needed = count * shape[0] * shape[1] * channels * self.dtype.itemsize * _LEAST_MAPS
        if needed > self._memory_bytes():
            raise MemoryError(f"{count} frames of {shape[1]}x{shape[0]} need {needed / 1e9:.1f} GB")

    def _memory_bytes(self) -> int:
        """All that the device has: what is free changes, and with it would what is made."""
        import torch

        if self._device == "cpu":
            return host_memory().total_bytes
        return int(torch.cuda.get_device_properties(self._device).total_memory)

    def reconstruct(self, pictures: np.ndarray) -> np.ndarray:
        """RGB uint8 [n, height, width, 3] to float32 of the same shape, levels 0 to 255.

        Raises ``WorkError`` where the model gives no numbers, as some do in half precision.
        """
        import torch

        height, width = pictures.shape[1:3]
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            levels = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float()
            padding = (0, -width % self.factor, 0, -height % self.factor)
            padded = torch.nn.functional.pad(levels / 127.5 - 1, padding, mode="replicate")
            code = self._model.encode(padded.to(self.dtype)).latent_dist.mode()
            given = self._model.decode(code).sample.float()[:, :, :height, :width]
            if not bool(given.isfinite().all()):
                raise WorkError(
                    f"The autoencoder gives no numbers in {self.dtype}.", "Take a version of it in float32."
                )
            back = (given + 1) * 127.5
            return back.clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()


def load_autoencoder(name: str, device: str = "auto", threads: int | None = None) -> Autoencoder:
    """Load ``name``, a folder or a repository of the hub, in the precision it is stored in.

    ``threads`` are a CPU's (None: as many as torch thinks fit).

    The model is at its root or, in a whole generative model, under ``vae/``; the likelier place is tried first.
    Raises ``UsageError`` without diffusers, ``WeightsError`` where neither place holds an AutoencoderKL,
    ``DeviceError`` for a device that is not there.
    """
    _require_place(name)
    place = _device(device)
    model_class = _require_diffusers()
    if threads is not None:
        _cap_threads(threads)
    reasons = []
    for prefix in _places(name):
        try:
            return Autoencoder(_load(model_class, _folder(name, prefix)), place)
        except WeightsError as error:
            reasons.append(f"{prefix or 'its root'}: {error.problem}")
    raise WeightsError(
        f"{name} holds no AutoencoderKL ({' '.join(reasons)})",
        "Give a folder with config.json, or with vae/config.json, or the name of such a model.",
    )


def _require_place(name: str) -> None:
    """Refuse a path that leads nowhere; what could be a name on the hub is looked for there."""
    is_path = Path(name).is_absolute() or name.startswith((".", "~")) or not _REPOSITORY.fullmatch(name)
    if is_path and not Path(name).is_dir():
        raise WeightsError(
            f"There is no folder {name}.",
            "Check the path of the autoencoder, or give the name of a model on the hub (OWNER/NAME).",
        )


def _cap_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _require_diffusers() -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise UsageError(
            "The autoencoder needs the package diffusers, which is not installed.",
            "Run: pip install 'vda-toolkit[autoencoder]'",
        ) from error
    return AutoencoderKL


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The autoencoder cannot be put on {asked}: {str(error).splitlines()[0]}.", "Give cpu, or cuda:0."
        ) from error
    return asked


def _places(name: str) -> tuple[str, str]:
    """Where the model may be, the likelier first."""
    folder = Path(name)
    whole = (folder / _WHOLE_MODEL).is_file() or (folder / "vae").is_dir()
    if whole or not (folder.is_dir() or "vae" in folder.name.lower()):
        return "vae", ""
    return "", "vae"


def _folder(name: str, prefix: str) -> Path:
    """The folder of the model's files, fetched if need be."""
    if Path(name).is_dir():
        folder = Path(name) / prefix
        if not (folder / _CONFIG).is_file():
            raise WeightsError(f"there is no {folder / _CONFIG}.", "Check the path.")
        return folder
    beginning = f"{prefix}/" if prefix else ""
    _on_hub(name, beginning + _CONFIG)
    problems = []
    for variant in _VARIANTS:
        try:
            return _on_hub(name, beginning + _weights_name(variant)).parent
        except WeightsError as error:
            problems.append(error)
    raise problems[0]


def _on_hub(name: str, file: str) -> Path:
    return cached(name, file) or fetch(name, file, _HUB_TIMEOUT_S)


def _weights_name(variant: str) -> str:
    return f"{_STEM}.{variant}{_ENDING}" if variant else f"{_STEM}{_ENDING}"


def _variant_in(folder: Path) -> str:
    """Which of the folder's weights are taken: the plain ones, where there are any."""
    return next((variant for variant in _VARIANTS if (folder / _weights_name(variant)).is_file()), "")


def _load(model_class: Any, folder: Path) -> Any:
    variant = _variant_in(folder)
    try:
        return model_class.from_pretrained(
            folder,
            variant=variant or None,
            torch_dtype=_stored_dtype(folder / _weights_name(variant)),
            low_cpu_mem_usage=False,
            # Never a pickle, which may ask for anything.
            use_safetensors=True,
            local_files_only=True,
        )
    # Whatever a damaged or another model's file makes the loader raise.
    except Exception as error:
        if isinstance(error, MemoryError | VdaError):
            raise
        reason = str(error).strip().splitlines()
        raise WeightsError(f"{folder} could not be loaded: {reason[0] if reason else error!r}.", "") from error


def _stored_dtype(path: Path) -> "torch.dtype":
    """The precision of the weights, which the loader would otherwise raise to float32."""
    import torch
    from safetensors import safe_open

    if not path.is_file():
        return torch.float32
    with safe_open(str(path), "pt") as weights:
        names = {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
    known = {"F16": torch.float16, "BF16": torch.bfloat16}
    return known.get(names.pop(), torch.float32) if len(names) == 1 else torch.float32
