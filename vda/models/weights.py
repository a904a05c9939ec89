"""Which checkpoints exist, where they are, and whether a file is one of them.

In goes a model's name and perhaps a file; out comes the checkpoint's place with its sha256, or the model built
from it. A file is looked for in ``--weights``, ``$VDA_WEIGHTS`` and the Hugging Face cache, then fetched.

This file does not know what the networks compute, how a file is read (``checkpoints``), nor how the hub is
spoken to (``hub``). It cannot tell a relative checkpoint from a metric one, for their tensors have the same names
and shapes: only an official file name tells them apart.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from vda.errors import UsageError, WeightsError
from vda.files import sha256_file, user_cache
from vda.models import checkpoints, hub

if TYPE_CHECKING:
    from vda.network.model import VideoDepthModel


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint; ``parameters_m`` is the authors' count in millions (None: see the file itself).

    ``repository`` is on the Hugging Face hub; the built-in model has none, it is shipped in this package.
    """

    model: str
    licence: str
    parameters_m: float | None = None
    repository: str | None = None
    filename: str = "mini.safetensors"

    @property
    def notice(self) -> str | None:
        """What a user must be told before using it, or None."""
        if "NC" not in self.licence:
            return None
        return f"The weights of {self.model} are licensed {self.licence}: for non-commercial use only."


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint on this machine; ``source`` is given, environment, cache, fetched or built-in.

    ``hub`` is one that is still to be fetched: ``path`` is then its place on the hub, and ``sha256`` what the hub
    announces (empty where it announces none).
    """

    path: Path
    sha256: str
    model: str
    licence: str
    source: str
    fetch_bytes: int | None = None
    """Of one that is still to be fetched, where the hub says it."""

    @property
    def is_here(self) -> bool:
        return self.source != "hub"

    @property
    def notice(self) -> str | None:
        return CHECKPOINTS[self.model].notice


@dataclass(frozen=True)
class ModelChoice:
    """The model that is run and its weights; ``notices`` are the sentences the user must be shown."""

    weights: WeightsFile
    notices: tuple[str, ...]

    @property
    def model(self) -> str:
        return self.weights.model


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found in a file that fits at least one model.

    ``fits`` names every model whose tensors have these names and shapes. ``known`` says whether the sha256 is that
    of one of those models' files as the hub announced it to this machine (or as shipped, for the built-in one);
    None where this machine has nothing to compare with.
    """

    path: Path
    sha256: str
    fits: tuple[str, ...]
    tensors: int
    parameters: int
    known: bool | None


def _official(model: str, size: str, parameters_m: float, licence: str) -> Checkpoint:
    encoder = model.removeprefix("metric-")
    metric = model != encoder
    return Checkpoint(
        model,
        licence,
        parameters_m,
        repository=f"depth-anything/{'Metric-' * metric}Video-Depth-Anything-{size}",
        filename=f"{'metric_' * metric}video_depth_anything_{encoder}.pth",
    )


MINI = "mini"
# The smallest of the published models, and its licence allows any use.
DEFAULT = "vits"
_ALL = (
    Checkpoint(MINI, "Apache-2.0"),
    _official("vits", "Small", 28.4, "Apache-2.0"),
    _official("vitb", "Base", 113.1, "CC-BY-NC-4.0"),
    _official("vitl", "Large", 381.8, "CC-BY-NC-4.0"),
    _official("metric-vits", "Small", 28.4, "Apache-2.0"),
    _official("metric-vitb", "Base", 113.1, "CC-BY-NC-4.0"),
    _official("metric-vitl", "Large", 381.8, "CC-BY-NC-4.0"),
)
CHECKPOINTS: dict[str, Checkpoint] = {checkpoint.model: checkpoint for checkpoint in _ALL}


Obtain = Callable[[Checkpoint, float], WeightsFile]
"""What is done about a checkpoint that is not on this machine; the seconds bound the wait for the hub's answer."""


def resolve_weights(
    model: str,
    weights: Path | None = None,
    *,
    fetch: bool = True,
    timeout_s: float = 10.0,
    obtain: Obtain | None = None,
) -> WeightsFile:
    """Find the checkpoint of ``model``, fetching it (``obtain``) where it is nowhere and ``fetch`` allows.

    ``timeout_s`` bounds the wait for the hub's first answer, not the download. Raises ``WeightsError`` where there
    is no file, the hub does not answer, or the file is not the one that the hub announced.
    """
    found = find_weights(model, weights)
    if found is not None:
        return found
    if not fetch:
        raise WeightsError(
            f"The weights of {model} are not on this machine.", f"Fetch them with: vda weights fetch {model}"
        )
    return (obtain or _fetch)(_checkpoint(model), timeout_s)


def find_weights(model: str, weights: Path | None = None) -> WeightsFile | None:
    """Look for the checkpoint of ``model`` on this machine only; None where it is not.

    Raises ``WeightsError`` where ``weights`` or ``$VDA_WEIGHTS`` names no file, or ``weights`` another model's
    official file.
    """
    checkpoint = _checkpoint(model)
    if weights is not None:
        return _record(checkpoint, _given(checkpoint, weights), "given")
    if checkpoint.repository is None:
        return _record(checkpoint, _built_in_path(checkpoint), "built-in")
    if variable := os.environ.get("VDA_WEIGHTS"):
        path = _in_environment(checkpoint, Path(variable).expanduser())
        if path is not None:
            return _record(checkpoint, path, "environment")
    cached = hub.cached(checkpoint.repository, checkpoint.filename)
    return None if cached is None else _record(checkpoint, cached, "cache")


def choose_model(
    requested: str,
    weights: Path | None = None,
    *,
    has_gpu: bool,
    timeout_s: float = 5.0,
    obtain: Obtain | None = None,
) -> ModelChoice:
    """Turn ``--model`` into a model with weights; ``auto`` is the official small model wherever it can be had.

    Where the hub does not answer within ``timeout_s`` seconds, ``auto`` is the built-in model on a machine without
    a GPU, with a notice that says so, and a ``WeightsError`` on one with a GPU: nobody wants hours of the small
    model by mistake. ``obtain`` is done in place of fetching, such as ``announced``.
    """
    if requested != "auto":
        return _chosen(resolve_weights(requested, weights, timeout_s=timeout_s, obtain=obtain))
    found = find_weights(DEFAULT, weights)
    if found is not None:
        return _chosen(found)
    command = f"vda weights fetch {DEFAULT}"
    try:
        return _chosen((obtain or _fetch)(CHECKPOINTS[DEFAULT], timeout_s))
    except WeightsError as error:
        if has_gpu:
            remedy = f"Fetch the official model with: {command} (or take the small built-in one: --model {MINI})."
            raise WeightsError(error.problem, remedy) from error
        notice = (
            f"{error.problem} The built-in model ({MINI}) is used instead, which is small and much less accurate; "
            f"the official one comes with: {command}"
        )
        return _chosen(resolve_weights(MINI), notice)


def _chosen(weights: WeightsFile, *notices: str) -> ModelChoice:
    return ModelChoice(weights, tuple(notice for notice in (*notices, weights.notice) if notice))


def _checkpoint(model: str) -> Checkpoint:
    if model not in CHECKPOINTS:
        raise UsageError(f"There is no model called {model}.", f"Choose one of: {', '.join(CHECKPOINTS)}.")
    return CHECKPOINTS[model]


def _fetch(checkpoint: Checkpoint, timeout_s: float) -> WeightsFile:
    assert checkpoint.repository is not None
    return _record(checkpoint, hub.fetch(checkpoint.repository, checkpoint.filename, timeout_s), "fetched")


def announced(checkpoint: Checkpoint, timeout_s: float) -> WeightsFile:
    """What fetching would bring, as the hub tells it; nothing is fetched. Raises ``WeightsError`` as fetching."""
    assert checkpoint.repository is not None
    told = hub.ask(checkpoint.repository, checkpoint.filename, timeout_s)
    place = Path(checkpoint.repository) / checkpoint.filename
    return WeightsFile(
        place, told.sha256 or "", checkpoint.model, checkpoint.licence, "hub", fetch_bytes=told.size_bytes
    )


def _built_in_path(checkpoint: Checkpoint) -> Path:
    path = Path(str(resources.files("vda.models").joinpath(checkpoint.model, checkpoint.filename)))
    if not path.is_file():
        raise WeightsError("This installation lacks the built-in model's weights.", "Install the package again.")
    return path


def _given(checkpoint: Checkpoint, path: Path) -> Path:
    """Return ``path`` if it is a file that does not carry another model's official name."""
    _require_file(path, "--weights")
    other = _named_like(path)
    if other not in (None, checkpoint.model):
        raise WeightsError(
            f"{path} is named as the checkpoint of {other}, and {checkpoint.model} was asked for.",
            f"Use --model {other}, or rename the file if its name is wrong.",
        )
    return path


def _require_file(path: Path, origin: str) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"{origin} names {path}, which {what}.", "Give a .pth or .safetensors file.")


def _named_like(path: Path) -> str | None:
    return next((known.model for known in _ALL if known.filename == path.name), None)


def _in_environment(checkpoint: Checkpoint, place: Path) -> Path | None:
    if not place.is_dir():
        _require_file(place, "VDA_WEIGHTS")
        # The variable stays set while models are tried in turn, so a file that is plainly another's is passed by.
        return place if _named_like(place) in (None, checkpoint.model) else None
    official = place / checkpoint.filename
    candidates = (official, official.with_suffix(".safetensors"))
    return next((path for path in candidates if path.is_file()), None)


def _record(checkpoint: Checkpoint, path: Path, source: str) -> WeightsFile:
    """Hash the file, and hold the hash against what the hub announced for it where that is known."""
    sha256 = _hash(path)
    announced = hub.announced_sha256(path)
    if announced is not None and announced != sha256:
        raise WeightsError(
            f"{path} is damaged: its sha256 is not the one that was announced for it.",
            f"Remove that file and {path.resolve()}, then run: vda weights fetch {checkpoint.model}",
        )
    return WeightsFile(path, sha256, checkpoint.model, checkpoint.licence, source)


def _hash(path: Path) -> str:
    try:
        seen = path.stat()
        return _hash_of(path, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{path} could not be read: {error.strerror}.", "Check its permissions.") from error


@lru_cache(maxsize=8)
def _hash_of(path: Path, *seen: int) -> str:
    """A process looks for the weights several times, and gigabytes take seconds; ``seen``: which file it is."""
    return sha256_file(path)


def load_model(model: str, weights: WeightsFile) -> "VideoDepthModel":
    """Build the network ``model`` with these weights: on the CPU, float32, in eval mode.

    Raises ``WeightsError`` where names or shapes differ, naming the model that they do fit if there is one.
    """
    from vda.network.model import empty_model

    state = checkpoints.load_state_dict(weights.path)
    network = empty_model(model)
    checkpoints.require_fit(weights.path, state, model, network.state_dict())
    network.load_state_dict(state, strict=True)
    return network


def require_fitting(weights: WeightsFile, *, keep: bool = True) -> None:
    """Raise ``WeightsError`` unless ``weights`` could be loaded. Values are not read, nor is it done twice.

    What was found to fit is noted in the user's cache by its sha256, for the check needs PyTorch, whose import
    takes more than a second of each run's start; with ``keep`` False nothing is written there.
    """
    mark = user_cache() / "vda" / "fitting" / f"{weights.sha256}-{weights.model}"
    if weights.source == "built-in" or mark.exists():
        return
    _check_names_and_shapes(weights)
    if not keep:
        return
    # Where nothing can be written, it is checked again the next time.
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _check_names_and_shapes(weights: WeightsFile) -> None:
    from vda.network.model import empty_model

    state = checkpoints.load_state_dict(weights.path)
    checkpoints.require_fit(weights.path, state, weights.model, empty_model(weights.model).state_dict())


def require_whole(weights: WeightsFile) -> None:
    """Raise ``WeightsError`` where the file is not a checkpoint of the model that it was fetched for.

    What a mirror sends in its place (a page that asks to log in) has no hash that was announced.
    """
    remedy = f"Remove {weights.path.resolve()}, see what HF_ENDPOINT names, and fetch it again."
    try:
        fits = verify(weights.path).fits
    except WeightsError as error:
        raise WeightsError(error.problem, remedy) from error
    if weights.model not in fits:
        raise WeightsError(f"{weights.path} is of {' and '.join(fits)}, not of {weights.model}.", remedy)


def verify(path: Path) -> Verification:
    """Hold a file's names, shapes, values and sha256 against what is known of the models.

    Raises ``WeightsError`` where it fits no model or has values that are not finite.
    """
    state = checkpoints.load_state_dict(path)
    checkpoints.require_finite(path, state)
    fits = checkpoints.models_that_fit(state)
    if not fits:
        compared = checkpoints.difference(checkpoints.expected_shapes(DEFAULT), state)
        raise WeightsError(
            f"{path} fits none of the models; against {DEFAULT}: {compared}.",
            f"Give a checkpoint of one of: {', '.join(CHECKPOINTS)}.",
        )
    sha256 = _hash(path)
    references = {found for found in map(_known_sha256, fits) if found is not None}
    known = sha256 in references if references else None
    return Verification(path, sha256, fits, len(state), sum(value.numel() for value in state.values()), known)


def _known_sha256(model: str) -> str | None:
    checkpoint = CHECKPOINTS[model]
    if checkpoint.repository is None:
        return _hash(_built_in_path(checkpoint))
    cached = hub.cached(checkpoint.repository, checkpoint.filename)
    return None if cached is None else hub.announced_sha256(cached)
