"""Pictures through an autoencoder: whatever layout and precision it is stored in, and when memory runs out."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import clips
import numpy as np
import pytest
from click.testing import CliRunner
from data_sets import log_of, pictures, scaled, table

from vda.cli import main
from vda.errors import UsageError, VideoError, WeightsError
from vda.fvc.autoencoder import load_autoencoder
from vda.fvc.request import ScaleSettings
from vda.fvc.scale import scale

diffusers = pytest.importorskip("diffusers")
torch = pytest.importorskip("torch")

Layout = Callable[[Path], Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small random model, stand-alone and inside a whole one, in two precisions."""
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
    )
    folder = tmp_path_factory.mktemp("models")
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16)):
        model.to(dtype).save_pretrained(folder / f"alone_{name}")
        model.save_pretrained(folder / f"whole_{name}" / "vae")
    return folder


def video(folder: Path, frames: int = 5) -> Path:
    """A video whose sides are no multiple of the model's factor of 4."""
    clips.make_clip(folder / "a.mp4", range(frames), draw=lambda number: clips.picture(number, 50, 38))
    return table(folder / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])


@pytest.mark.parametrize("layout", ["alone", "whole"])
@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_a_model_gives_back_pictures_of_their_size(models: Path, layout: str, precision: str) -> None:
    autoencoder = load_autoencoder(str(models / f"{layout}_{precision}"), "cpu")
    assert str(autoencoder.dtype) == f"torch.{precision}"
    assert autoencoder.factor == 4
    frames = np.stack([clips.picture(number, 50, 38) for number in range(3)])
    back = autoencoder.reconstruct(frames)
    assert (back.dtype, back.shape) == (np.float32, frames.shape)
    assert back.min() >= 0 and back.max() <= 255
    assert (autoencoder.reconstruct(frames) == back).all()
    # The same weights: half precision is close, and not the same.
    single = load_autoencoder(str(models / f"alone_{'float32' if precision == 'float16' else 'float16'}"), "cpu")
    difference = np.abs(single.reconstruct(frames) - back).max()
    assert 0 < difference < 8


def test_what_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="holds no AutoencoderKL"):
        load_autoencoder(str(tmp_path))
    with pytest.raises(UsageError, match="go together"):
        ScaleSettings(method="autoencoder")


def test_a_model_stored_in_half_precision_alone_is_taken(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    diffusers.AutoencoderKL.from_pretrained(models / "alone_float16", torch_dtype=torch.float16).save_pretrained(
        folder, variant="fp16"
    )
    assert [path.name for path in folder.glob("*.safetensors")] == ["diffusion_pytorch_model.fp16.safetensors"]
    frames = clips.picture(0, 50, 38)[None]
    half, plain = (load_autoencoder(str(path), "cpu") for path in (folder, models / "alone_float16"))
    assert half.dtype == torch.float16
    assert (half.reconstruct(frames) == plain.reconstruct(frames)).all()


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "~/nowhere", "some/deep/folder"])
def test_a_folder_that_is_not_there_is_said_in_two_sentences(tmp_path: Path, name: str) -> None:
    metadata = table(tmp_path / "videos.csv", [{"video_path": "a.mp4", "label": "real"}])
    command = ["fvc", "scale", str(metadata), "--output-dir", str(tmp_path / "out"), "--method", "autoencoder"]
    result = CliRunner().invoke(main, [*command, "--autoencoder", name])
    assert result.exit_code == 2
    assert f"There is no folder {name}." in result.output
    assert "OWNER/NAME" in result.output
    assert not (tmp_path / "out").exists()


def test_videos_come_out_the_same_twice(models: Path, tmp_path: Path) -> None:
    metadata = video(tmp_path)
    name = str(models / "alone_float32")
    settings = ScaleSettings(size=64, method="autoencoder", autoencoder=name, chunk_size=2)
    scale(metadata, tmp_path / "one", settings)
    scale(metadata, tmp_path / "two", settings, through=load_autoencoder(name, "cpu"))
    scale(metadata, tmp_path / "plain", ScaleSettings(size=64))
    one, two, plain = ((tmp_path / out / "a_scaled_original.mp4").read_bytes() for out in ("one", "two", "plain"))
    assert one == two != plain
    (row,) = scaled(tmp_path / "one")
    assert (row["method"], row["fallback"], row["padding_top"]) == ("autoencoder", "", "7")
    back = load_autoencoder(name, "cpu").reconstruct(clips.picture(0, 50, 38)[None])[0]
    shown = pictures(tmp_path / "one" / row["video_path"])[0, 7:-8]
    # Random weights give greys; the mean is enough to tell them from the plain picture.
    assert abs(shown.mean() - back.mean()) < 6


def test_jobs_load_it_each_and_one_row_is_no_exception(models: Path, tmp_path: Path) -> None:
    """More jobs than rows, and more of both: the pictures went through the model in any case."""
    metadata, settings = (
        video(tmp_path),
        ScaleSettings(64, "autoencoder", autoencoder=str(models / "alone_float32")),
    )
    for jobs in (1, 2):
        scale(metadata, tmp_path / f"one{jobs}", settings, jobs=jobs, autoencoder_device="cpu")
    scale(metadata, tmp_path / "plain", ScaleSettings(64))
    name = "a_scaled_original.mp4"
    one, two, plain = (pictures(tmp_path / folder / name) for folder in ("one1", "one2", "plain"))
    assert (one == two).all() and (one != plain).any()
    clips.make_clip(tmp_path / "b.mp4", range(3), draw=lambda number: clips.picture(number, 50, 38))
    table(metadata, [{"video_path": f"{name}.mp4", "label": "real"} for name in ("a", "b")])
    assert scale(metadata, tmp_path / "one2", settings, jobs=2, autoencoder_device="cpu").scaled == 1
    assert {row["method"] for row in scaled(tmp_path / "one2")} == {"autoencoder"}


class Greedy:
    """An autoencoder that changes nothing and runs out of memory with more than ``most`` frames at once."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error = most, error
        self.tried: list[int] = []

    def __call__(self, frames: Iterable[np.ndarray], chunk_size: int) -> Iterator[np.ndarray]:
        self.tried.append(chunk_size)
        for place, frame in enumerate(frames):
            # The third frame: some were written already, and must not be left over.
            if place == 2 and chunk_size > self.most:
                raise self.error
            yield frame


AUTOENCODER = ScaleSettings(size=64, method="autoencoder", autoencoder="any", chunk_size=10)
TRANSLATED = VideoError("The video could not be encoded.", "Choose another codec.")
TRANSLATED.__cause__ = MemoryError("no room")
OUT_OF_MEMORY = [
    TRANSLATED,
    MemoryError("no room"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("most", "tried", "method", "fallback"),
    [
        (10, [10], "autoencoder", ""),
        (3, [10, 5, 2], "autoencoder", "chunks of 2 frames"),
        (1, [10, 5, 2, 1], "autoencoder", "one frame"),
        (0, [10, 5, 2, 1], "letterbox", "letterbox"),
    ],
)
def test_less_and_less_memory_is_tried_in_order(
    tmp_path: Path, error: Exception, most: int, tried: list[int], method: str, fallback: str
) -> None:
    greedy = Greedy(most, error)
    scale(video(tmp_path), tmp_path / "out", AUTOENCODER, through=greedy)
    assert greedy.tried == tried
    (row,) = scaled(tmp_path / "out")
    assert (row["method"], row["fallback"]) == (method, fallback)
    notes = [message for _, state, message in log_of(tmp_path / "out") if state == "note"]
    assert len(notes) == len(tried) - (most > 0)
    assert all(note.startswith("Out of memory with") for note in notes)
    assert len(pictures(tmp_path / "out" / row["video_path"])) == 5


def test_what_surely_does_not_fit_is_not_tried(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoencoder = load_autoencoder(str(models / "alone_float32"), "cpu")
    # Room for three frames of 50x38, of which each needs 8 channels of 4 bytes, six times.
    monkeypatch.setattr(type(autoencoder), "_memory_bytes", lambda self: 3 * 50 * 38 * 8 * 4 * 6)
    scale(video(tmp_path), tmp_path / "out", AUTOENCODER, through=autoencoder)
    (row,) = scaled(tmp_path / "out")
    assert (row["method"], row["fallback"]) == ("autoencoder", "chunks of 2 frames")


def test_a_video_that_nothing_fits_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> np.ndarray:
        raise MemoryError("no room")

    monkeypatch.setattr("vda.fvc.clip.scale_picture", no_room)
    result = scale(video(tmp_path), tmp_path / "out", ScaleSettings(size=64))
    assert "Out of memory" in result.failed["a_scaled_original.mp4"]
    assert scaled(tmp_path / "out") == []
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_errors_that_are_not_about_memory_are_not_tried_again(tmp_path: Path) -> None:
    greedy = Greedy(0, ValueError("something else"))
    result = scale(video(tmp_path), tmp_path / "out", AUTOENCODER, through=greedy)
    assert greedy.tried == [10]
    assert result.failed == {"a_scaled_original.mp4": "ValueError: something else"}
