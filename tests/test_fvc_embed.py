"""Frame embeddings, by tiny models with random weights: the vectors that the model gives, with their frames."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pyarrow.parquet
import pytest
import torch
from click.testing import CliRunner
from data_sets import content, rows_of, table
from transformers import AutoModel, ViTConfig, ViTImageProcessor, ViTModel

from vda.cli import main
from vda.errors import UsageError, WeightsError, WorkError
from vda.fvc.embed import EmbedSettings, embed
from vda.fvc.visionmodel import VisionModel, load_vision_model
from vda.reporter import Noted

FRAMES, WIDTH = 9, 16


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(model_folder: Path) -> VisionModel:
    return load_vision_model(str(model_folder), device="cpu", batch_size=4)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Videos without loss, so that their pictures are known exactly."""
    rows = []
    for name, first in (("a", 0), ("b", 20)):
        clips.make_clip(tmp_path / f"{name}.mkv", range(first, first + FRAMES), codec="ffv1", pix_fmt="bgr0")
        rows.append({"video_path": f"{name}.mkv", "label": "real"})
    return table(tmp_path / "videos.csv", rows)


def own_vector(folder: Path, number: int) -> np.ndarray:
    """What transformers alone gives for one picture."""
    inputs = ViTImageProcessor.from_pretrained(folder)(images=clips.picture(number), return_tensors="pt")
    with torch.inference_mode():
        given = AutoModel.from_pretrained(folder).eval()(**inputs)
    vector: np.ndarray = given.pooler_output[0].numpy()
    return vector


def test_each_frame_has_the_vector_that_the_model_gives_for_it(
    model: VisionModel, model_folder: Path, videos: Path
) -> None:
    out = videos.parent / "out"
    assert embed(videos, out, model).made == 2
    read = pyarrow.parquet.read_table(out / "b.parquet").to_pydict()
    assert read["frame"] == list(range(FRAMES))
    assert read["time_seconds"] == pytest.approx([place / 25 for place in range(FRAMES)])
    for place, vector in enumerate(read["embedding"]):
        assert vector == pytest.approx(own_vector(model_folder, 20 + place), abs=1e-4)
    assert [(row["embeddings_path"], row["frames"], row["width"]) for row in rows_of(out / "embeddings.csv")] == [
        ("a.parquet", "9", "16"),
        ("b.parquet", "9", "16"),
    ]


def test_npy_has_the_same_and_says_which_frames(model: VisionModel, videos: Path) -> None:
    embed(videos, videos.parent / "out", model, EmbedSettings())
    embed(videos, videos.parent / "npy", model, EmbedSettings("npy"))
    vectors = np.load(videos.parent / "npy" / "a.npy")
    assert vectors.dtype == np.float32 and vectors.shape == (FRAMES, WIDTH)
    read = pyarrow.parquet.read_table(videos.parent / "out" / "a.parquet")
    assert np.array_equal(np.stack(read["embedding"].to_pylist()).astype(np.float32), vectors)
    about = json.loads((videos.parent / "npy" / "a_frames.json").read_text())
    assert about["frames"] == read["frame"].to_pylist()
    assert about["times_seconds"] == read["time_seconds"].to_pylist()


@pytest.mark.parametrize(
    ("settings", "frames"),
    [
        (EmbedSettings(stride=4), [0, 4, 8]),
        (EmbedSettings(fps=12.5), [0, 2, 4, 6, 8]),
        (EmbedSettings(most=2), [0, 1]),
    ],
)
def test_frames_are_chosen_by_stride_and_by_time(
    model: VisionModel, videos: Path, settings: EmbedSettings, frames: list[int]
) -> None:
    embed(videos, videos.parent / "out", model, settings)
    assert pyarrow.parquet.read_table(videos.parent / "out" / "a.parquet")["frame"].to_pylist() == frames


def test_for_the_first_frames_of_a_film_it_is_not_counted(
    model: VisionModel, model_folder: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(*_: object) -> None:
        pytest.fail("all of the video was decoded")

    monkeypatch.setattr("vda.fvc.embed.index_frames", counted)
    embed(videos, videos.parent / "out", model, EmbedSettings(most=2))
    file = pyarrow.parquet.read_table(videos.parent / "out" / "b.parquet").to_pydict()
    assert file["frame"] == [0, 1]
    for place, vector in enumerate(file["embedding"]):
        np.testing.assert_allclose(vector, own_vector(model_folder, 20 + place), atol=1e-4)


def test_what_is_there_is_kept_and_what_is_damaged_or_replaced_is_made_again(
    model: VisionModel, videos: Path
) -> None:
    out = videos.parent / "out"
    embed(videos, out, model)
    fresh = content(out)
    again = embed(videos, out, model)
    assert (again.made, again.kept) == (0, 2) and content(out) == fresh
    (out / "a.parquet").write_bytes(b"broken")
    assert embed(videos, out, model).made == 1
    assert (out / "a.parquet").read_bytes() == fresh["a.parquet"]
    clips.make_clip(videos.parent / "b.mkv", range(5), codec="ffv1", pix_fmt="bgr0")
    assert embed(videos, out, model).made == 1
    assert [row["frames"] for row in rows_of(out / "embeddings.csv")] == ["9", "5"]


def test_interrupted_a_run_keeps_what_it_made(model: VisionModel, videos: Path) -> None:
    class Failing:
        name, checksum = model.name, model.checksum
        calls = 0

        def vectors(self, pictures: Any, reporter: Any) -> Iterator[Any]:
            self.calls += 1
            for vector in model.vectors(pictures, reporter):
                if self.calls == 2:
                    raise KeyboardInterrupt
                yield vector

    out = videos.parent / "out"
    with pytest.raises(KeyboardInterrupt):
        embed(videos, out, Failing())
    assert [path.name for path in out.glob("*.parquet")] == ["a.parquet"]
    assert len(rows_of(out / "embeddings.csv")) == 1
    result = embed(videos, out, model)
    assert (result.made, result.kept) == (1, 1)


def test_other_settings_and_other_models_are_refused_in_the_same_folder(
    model: VisionModel, model_folder: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    embed(videos, videos.parent / "out", model)
    with pytest.raises(UsageError, match="another stride"):
        embed(videos, videos.parent / "out", model, EmbedSettings(stride=2))
    # A folder of the same name in which training went on, and the same model in another folder.
    copy = shutil.copytree(model_folder, tmp_path_factory.mktemp("moved") / "model")
    assert embed(videos, videos.parent / "out", load_vision_model(str(copy), device="cpu")).kept == 2
    trained = ViTModel.from_pretrained(copy)
    next(trained.parameters()).data += 0.01
    trained.save_pretrained(copy)
    with pytest.raises(UsageError, match="another model"):
        embed(videos, videos.parent / "out", load_vision_model(str(copy), device="cpu"))
    prepared = shutil.copytree(model_folder, tmp_path_factory.mktemp("prepared") / "model")
    ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0, 0, 0]).save_pretrained(prepared)
    with pytest.raises(UsageError, match="another model"):
        embed(videos, videos.parent / "out", load_vision_model(str(prepared), device="cpu"))


class _Tight:
    """A model that has memory for so many pictures; no more are ever asked of the source than a batch."""

    dtype = torch.float32

    def __init__(self, most: int) -> None:
        self._most = most
        self.seen: list[int] = []

    def to(self, device: str) -> "_Tight":
        return self

    eval = requires_grad_ = lambda self, *_: self

    def __call__(self, pixel_values: torch.Tensor) -> Any:
        self.seen.append(len(pixel_values))
        if len(pixel_values) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        class Given:
            last_hidden_state = pixel_values.flatten(1)[:, None, :3]

        return Given()


def _as_they_are(images: list[np.ndarray], **_: Any) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.from_numpy(np.stack(images)).float()}


def test_where_memory_runs_out_micro_batches_are_halved() -> None:
    tight, noted = _Tight(3), Noted(None)
    model = VisionModel("tight", tight, _as_they_are, "cpu", 8)
    pictures = [np.full((2, 2, 3), number, np.uint8) for number in range(11)]
    assert [vector[0] for vector in model.vectors(pictures, noted)] == list(range(11))
    assert tight.seen[:3] == [8, 4, 2] and max(tight.seen[3:]) == 2
    assert noted.said[-1] == "Out of memory: going on with micro-batches of 2."
    with pytest.raises(WorkError, match="one picture"):
        list(VisionModel("none", _Tight(0), _as_they_are, "cpu", 8).vectors(pictures, noted))


def test_no_more_pictures_are_held_than_a_micro_batch() -> None:
    model = VisionModel("tight", _Tight(99), _as_they_are, "cpu", 4)
    asked = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal asked
        for number in range(100):
            asked += 1
            yield np.full((2, 2, 3), number, np.uint8)

    for place, _ in enumerate(model.vectors(pictures(), Noted(None))):
        assert asked <= place + 4


def test_the_variable_gives_the_batch_size(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDA_BATCH_SIZE", "7")
    assert load_vision_model(str(model_folder), device="cpu").batch_size == 7
    monkeypatch.setenv("VDA_BATCH_SIZE", "many")
    with pytest.raises(UsageError, match="not a number"):
        load_vision_model(str(model_folder), device="cpu")


def test_the_command_embeds_and_names_what_it_could_not(model_folder: Path, videos: Path) -> None:
    (videos.parent / "a.mkv").write_bytes(b"no video")
    options = ["--output-dir", str(videos.parent / "out"), "--model", str(model_folder), "--device", "cpu"]
    ran = CliRunner().invoke(main, ["fvc", "embed", str(videos), *options, "--stride", "3"])
    assert ran.exit_code == 1 and "1 of 2 videos could not be embedded. The first, a.mkv:" in ran.output
    assert [row["video_path"] for row in rows_of(videos.parent / "out" / "embeddings.csv")] == ["b.mkv"]


def test_a_model_that_is_not_there_is_said_in_two_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match="There is no folder"):
        load_vision_model(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="could not be loaded as a vision model"):
        load_vision_model(str(tmp_path / "empty"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="without a network, a model that is in its cache"):
        load_vision_model("nobody/nothing-at-all")


def test_pickled_weights_are_never_loaded(model_folder: Path, tmp_path: Path) -> None:
    pickled = shutil.copytree(model_folder, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(ViTModel.from_pretrained(model_folder).state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        load_vision_model(str(pickled))
