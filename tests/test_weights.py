"""Finding, fetching, reading and refusing checkpoints."""

import hashlib
import http.server
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from vda.cli.weights import weights as command
from vda.errors import UsageError, WeightsError
from vda.models import checkpoints, hub, weights
from vda.network import PRESETS, build_model

pytestmark = pytest.mark.whole

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"not really a checkpoint, but its bytes are all that fetching is about " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/depth-anything/Video-Depth-Anything-Small/resolve/main/video_depth_anything_vits.pth"


@pytest.fixture(autouse=True)
def no_checkpoints_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VDA_WEIGHTS", raising=False)
    monkeypatch.setattr(hub, "cached", lambda repository, filename: None)


@pytest.fixture
def built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose built-in model is a few bytes: choosing it reads nothing but their hash."""
    path = tmp_path / "package" / "mini" / "mini.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"built in")
    monkeypatch.setattr(weights.resources, "files", lambda package: tmp_path / "package")
    return path


def unreachable(repository: str, filename: str, timeout_s: float) -> Path:
    raise WeightsError("The hub does not answer.", "Connect to the network.")


# --------------------------------------------------------------------------------------------- which there are


def test_every_network_has_a_checkpoint_and_the_small_ones_are_free() -> None:
    assert weights.CHECKPOINTS.keys() == PRESETS.keys()
    licences = {name: checkpoint.licence for name, checkpoint in weights.CHECKPOINTS.items()}
    free = {name for name, licence in licences.items() if licence == "Apache-2.0"}
    assert free == {"mini", "vits", "metric-vits"}
    assert {licence for name, licence in licences.items() if name not in free} == {"CC-BY-NC-4.0"}


@pytest.mark.parametrize(
    ("model", "repository", "filename"),
    [
        ("vits", "depth-anything/Video-Depth-Anything-Small", "video_depth_anything_vits.pth"),
        ("vitl", "depth-anything/Video-Depth-Anything-Large", "video_depth_anything_vitl.pth"),
        ("metric-vitb", "depth-anything/Metric-Video-Depth-Anything-Base", "metric_video_depth_anything_vitb.pth"),
    ],
)
def test_official_checkpoints_have_their_published_names(model: str, repository: str, filename: str) -> None:
    checkpoint = weights.CHECKPOINTS[model]
    assert (checkpoint.repository, checkpoint.filename) == (repository, filename)


def test_only_non_commercial_weights_come_with_a_notice() -> None:
    noticed = {model for model, checkpoint in weights.CHECKPOINTS.items() if checkpoint.notice}
    assert noticed == {"vitb", "vitl", "metric-vitb", "metric-vitl"}
    assert "non-commercial" in str(weights.CHECKPOINTS["vitb"].notice)


def test_an_unknown_model_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="vitg"):
        weights.find_weights("vitg")


# ---------------------------------------------------------------------------------------------- where they are


def test_a_given_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    (tmp_path / "other.pth").write_bytes(b"other")
    monkeypatch.setenv("VDA_WEIGHTS", str(tmp_path / "other.pth"))
    found = weights.resolve_weights("vits", tmp_path / "mine.pth")
    assert found == weights.WeightsFile(tmp_path / "mine.pth", SHA256, "vits", "Apache-2.0", "given")
    assert weights.resolve_weights("vits").source == "environment"


def test_the_environment_may_name_a_folder_with_some_of_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "video_depth_anything_vits.safetensors").write_bytes(CONTENT)
    (tmp_path / "metric_video_depth_anything_vitl.pth").write_bytes(CONTENT)
    monkeypatch.setenv("VDA_WEIGHTS", str(tmp_path))
    found = {model: weights.find_weights(model) for model in ("vits", "vitb", "metric-vitl")}
    assert {model: file and file.path.name for model, file in found.items()} == {
        "vits": "video_depth_anything_vits.safetensors",
        "vitb": None,
        "metric-vitl": "metric_video_depth_anything_vitl.pth",
    }


def test_another_models_official_file_is_refused_when_given_and_passed_by_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = tmp_path / "metric_video_depth_anything_vits.pth"
    metric.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="--model metric-vits"):
        weights.resolve_weights("vits", metric)
    monkeypatch.setenv("VDA_WEIGHTS", str(metric))
    assert weights.find_weights("vits") is None


@pytest.mark.parametrize("name", ["nothing.pth", ""])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"--weights names .*, which (does not exist|is a folder)"):
        weights.resolve_weights("vits", tmp_path / name)


def test_without_fetching_the_command_that_fetches_is_named() -> None:
    with pytest.raises(WeightsError, match="vda weights fetch vitl"):
        weights.resolve_weights("vitl", fetch=False)


def test_the_built_in_model_is_not_taken_from_the_environment(
    built_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.pth").write_bytes(CONTENT)
    monkeypatch.setenv("VDA_WEIGHTS", str(tmp_path / "other.pth"))
    found = weights.resolve_weights("mini")
    assert (found.path, found.source) == (built_in, "built-in")


# ----------------------------------------------------------------------------------------------- which is run


def test_auto_is_the_official_model_where_it_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video_depth_anything_vits.pth").write_bytes(CONTENT)
    monkeypatch.setenv("VDA_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(hub, "fetch", unreachable)
    choice = weights.choose_model("auto", has_gpu=True)
    assert (choice.model, choice.notices) == ("vits", ())


def test_auto_fetches_the_official_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = tmp_path / "fetched.pth"
    fetched.write_bytes(CONTENT)
    monkeypatch.setattr(hub, "fetch", lambda repository, filename, timeout_s: fetched)
    choice = weights.choose_model("auto", has_gpu=False)
    assert (choice.model, choice.weights.source, choice.notices) == ("vits", "fetched", ())


def test_auto_without_hub_and_gpu_is_the_built_in_model_and_says_so(
    built_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "fetch", unreachable)
    choice = weights.choose_model("auto", has_gpu=False)
    assert choice.model == "mini"
    (notice,) = choice.notices
    assert "built-in model (mini)" in notice
    assert "vda weights fetch vits" in notice


def test_auto_without_hub_but_with_a_gpu_is_an_error_naming_both_ways_out(
    built_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "fetch", unreachable)
    with pytest.raises(WeightsError) as raised:
        weights.choose_model("auto", has_gpu=True)
    assert "vda weights fetch vits" in raised.value.remedy
    assert "--model mini" in raised.value.remedy


def test_a_model_asked_for_by_name_is_never_replaced(built_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "fetch", unreachable)
    with pytest.raises(WeightsError, match="does not answer"):
        weights.choose_model("vits", has_gpu=False)


def test_choosing_non_commercial_weights_carries_their_notice(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    choice = weights.choose_model("vitl", tmp_path / "mine.pth", has_gpu=False)
    assert choice.notices == (weights.CHECKPOINTS["vitl"].notice,)


# --------------------------------------------------------------------------------------------------- fetching


@dataclass
class Hub:
    """What the loopback server does, and what was asked of it."""

    url: str = ""
    breaks_off: bool = False
    downloads: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    """The status with which a file, by its name, is refused."""


@contextmanager
def serving(state: Hub) -> Iterator[Hub]:
    """Speak as much of the hub's protocol as a download needs: the commit, the entity tag, and the bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path == PATH
            refusal = state.answers.get(self.path.rpartition("/")[2])
            self.send_response(refusal or (200 if found else 404))
            self.send_header("Content-Length", str(len(CONTENT)) if found else "0")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-ETag", f'"{SHA256}"')
            self.send_header("X-Linked-Size", str(len(CONTENT)))
            self.end_headers()

        def do_GET(self) -> None:
            if self.path == PATH:
                state.downloads += 1
            self.do_HEAD()
            self.wfile.write(CONTENT[: len(CONTENT) // 2 if state.breaks_off else None])
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silence() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


SCRIPT = """
import json, sys
from vda.errors import VdaError
from vda.models.weights import resolve_weights
for model in sys.argv[2:]:
    try:
        file = resolve_weights(model, timeout_s=float(sys.argv[1]))
        print(json.dumps({"path": str(file.path), "sha256": file.sha256, "source": file.source}))
    except VdaError as error:
        print(json.dumps({"error": type(error).__name__, "problem": error.problem, "remedy": error.remedy}))
"""


@pytest.fixture
def resolve_each(tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Resolve in a process of its own, for huggingface_hub reads its environment when it is imported."""

    def run(endpoint: str, *models: str, timeout_s: float = 60, **variables: str) -> list[dict[str, str]]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), **variables}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(timeout_s), *models],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def resolve(resolve_each: Callable[..., list[dict[str, str]]]) -> Callable[..., dict[str, str]]:
    def run(endpoint: str, model: str = "vits", **how: Any) -> dict[str, str]:
        (found,) = resolve_each(endpoint, model, **how)
        return found

    return run


def test_weights_are_fetched_once_and_then_found_offline(resolve: Callable[..., dict[str, str]]) -> None:
    with serving(Hub()) as server:
        first = resolve(server.url)
        second = resolve(server.url, HF_HUB_OFFLINE="1")
    assert Path(first["path"]).read_bytes() == CONTENT
    assert (first["source"], first["sha256"]) == ("fetched", SHA256)
    assert second == {**first, "source": "cache"}
    assert server.downloads == 1


def test_a_cached_file_that_is_not_what_was_announced_is_refused(resolve: Callable[..., dict[str, str]]) -> None:
    with serving(Hub()) as server:
        path = Path(resolve(server.url)["path"])
    path.resolve().write_bytes(CONTENT[:-1])
    assert "damaged" in resolve("http://127.0.0.1:9")["problem"]


def test_a_file_that_the_hub_does_not_have(resolve: Callable[..., dict[str, str]]) -> None:
    with serving(Hub()) as server:
        result = resolve(server.url, "vitb")
    assert result["error"] == "WeightsError"
    assert "video_depth_anything_vitb.pth could not be fetched" in result["problem"]


REMEDIES = {401: "HF_TOKEN", 403: "HF_TOKEN", 404: "HF_ENDPOINT", 429: "Wait", 500: "later", 503: "later"}


def test_each_answer_has_its_own_remedy(resolve_each: Callable[..., list[dict[str, str]]]) -> None:
    models = [name for name in weights.CHECKPOINTS if name != "mini"]
    names = [weights.CHECKPOINTS[model].filename for model in models]
    with serving(Hub(answers=dict(zip(names, REMEDIES, strict=True)))) as server:
        results = resolve_each(server.url, *models)
    for (status, word), result in zip(REMEDIES.items(), results, strict=True):
        assert result["error"] == "WeightsError" and word in result["remedy"], status
        assert "Connect to the network" not in result["remedy"], status


def test_offline_mode_is_honoured(resolve: Callable[..., dict[str, str]]) -> None:
    with serving(Hub()) as server:
        result = resolve(server.url, HF_HUB_OFFLINE="1")
    assert "offline" in result["problem"].lower()
    assert "HF_HUB_OFFLINE" in result["remedy"]
    assert server.downloads == 0


def test_a_port_where_nobody_listens_is_given_up_at_once(resolve: Callable[..., dict[str, str]]) -> None:
    result = resolve("http://127.0.0.1:9")
    assert "could not be fetched" in result["problem"]
    assert "--weights" in result["remedy"]


def test_a_hub_that_accepts_and_never_answers_is_given_up(resolve: Callable[..., dict[str, str]]) -> None:
    with silence() as url:
        result = resolve(url, timeout_s=0.5)
    assert result["error"] == "WeightsError"


def test_a_download_that_breaks_off_leaves_nothing_that_is_taken_for_the_file(
    resolve: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    with serving(Hub(breaks_off=True)) as server:
        result = resolve(server.url)
    assert "could not be fetched" in result["problem"]
    assert server.downloads >= 1
    assert not list((tmp_path / "hf").rglob("video_depth_anything_vits.pth"))


# ---------------------------------------------------------------------------------------------------- reading


@pytest.fixture(scope="module")
def mini_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_model("mini").state_dict()


def test_a_state_dict_is_read_from_both_formats_as_float32(tmp_path: Path) -> None:
    state = {"a": torch.tensor([1.5, -2.25]), "b": torch.tensor([[3]])}
    torch.save({"a": state["a"].half(), "b": state["b"]}, tmp_path / "w.pth")
    save_file({"a": state["a"].half(), "b": state["b"]}, tmp_path / "w.safetensors")
    shutil.copy(tmp_path / "w.safetensors", tmp_path / "blob")
    for name in ("w.pth", "w.safetensors", "blob"):
        loaded = checkpoints.load_state_dict(tmp_path / name)
        assert loaded["a"].dtype is torch.float32
        assert all(torch.equal(loaded[key], state[key]) for key in ("a", "b"))
        assert loaded.keys() == state.keys()


class Evil:
    """Unpickling it makes a folder: whoever finds the folder knows that the file was executed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_would_run_something_is_refused_and_not_run(tmp_path: Path, writer: str) -> None:
    path, executed = tmp_path / "evil.pth", tmp_path / "executed"
    if writer == "torch":
        torch.save({"weight": Evil(executed)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(executed)))
    with pytest.raises(WeightsError, match="nothing else is ever unpickled"):
        checkpoints.load_state_dict(path)
    assert not executed.exists()


def test_the_evil_pickle_really_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "executed")))
    assert (tmp_path / "executed").is_dir()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["text", "empty", "truncated", "zip"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"file{suffix}"
    state = {"a": torch.arange(1000.0)}
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    if damage == "zip":
        path.unlink()
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    else:
        content = path.read_bytes()
        path.write_bytes({"text": b"hello there\n", "empty": b"", "truncated": content[:2000]}[damage])
    with pytest.raises(WeightsError, match="could not be read as a checkpoint") as raised:
        checkpoints.load_state_dict(path)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    "value", [[torch.zeros(1)], {}, {"model": {"a": torch.zeros(1)}}, {"a": torch.zeros(1), "epoch": 3}]
)
def test_anything_but_named_tensors_is_refused(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"state dict"):
        checkpoints.load_state_dict(tmp_path / "w.pth")


def test_a_model_is_built_with_exactly_the_files_numbers(
    tmp_path: Path, mini_state: dict[str, torch.Tensor]
) -> None:
    save_file({name: value.half() for name, value in mini_state.items()}, tmp_path / "mine.safetensors")
    model = weights.load_model("mini", weights.resolve_weights("mini", tmp_path / "mine.safetensors"))
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, mini_state[name].half().float()), name


def test_a_checkpoint_of_the_wrong_model_names_the_one_it_fits(
    tmp_path: Path, mini_state: dict[str, torch.Tensor]
) -> None:
    save_file(mini_state, tmp_path / "mine.safetensors")
    file = weights.resolve_weights("vits", tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match="not a checkpoint of vits") as raised:
        weights.load_model("vits", file)
    assert "--model mini" in raised.value.remedy


def test_a_missing_and_a_misshapen_tensor_are_named(tmp_path: Path, mini_state: dict[str, torch.Tensor]) -> None:
    first, second, *_ = mini_state
    state = {name: value for name, value in mini_state.items() if name != first} | {second: torch.zeros(2, 3, 4)}
    with pytest.raises(WeightsError) as raised:
        checkpoints.require_fit(tmp_path / "w.pth", state, "mini", mini_state)
    assert f"1 missing (first {first})" in raised.value.problem
    assert f"1 of another shape (first {second})" in raised.value.problem


def test_relative_and_metric_checkpoints_cannot_be_told_apart() -> None:
    with torch.device("meta"):
        state = build_model("vitb").state_dict()
    assert checkpoints.models_that_fit(state) == ("vitb", "metric-vitb")


# -------------------------------------------------------------------------------------------------- verifying


def test_verify_knows_the_built_in_file_from_another_of_its_kind(
    tmp_path: Path, mini_state: dict[str, torch.Tensor], built_in: Path
) -> None:
    save_file(mini_state, built_in)
    save_file({name: value + 1 for name, value in mini_state.items()}, tmp_path / "mine.safetensors")
    same, other = weights.verify(built_in), weights.verify(tmp_path / "mine.safetensors")
    assert (same.fits, same.known, other.fits, other.known) == (("mini",), True, ("mini",), False)
    assert same.sha256 == hashlib.sha256(built_in.read_bytes()).hexdigest()
    assert same.parameters == sum(value.numel() for value in mini_state.values())


def test_verify_refuses_what_fits_nothing_and_what_is_not_finite(
    tmp_path: Path, mini_state: dict[str, torch.Tensor]
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="fits none of the models"):
        weights.verify(tmp_path / "a.safetensors")
    name = next(iter(mini_state))
    broken = mini_state | {name: torch.full_like(mini_state[name], float("nan"))}
    save_file(broken, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=f"{name} that are not finite"):
        weights.verify(tmp_path / "b.safetensors")


def test_the_command_lists_every_model_and_verifies_a_file(
    built_in: Path, mini_state: dict[str, torch.Tensor]
) -> None:
    save_file(mini_state, built_in)
    listed = json.loads(CliRunner().invoke(command, ["list", "--json"]).stdout)["models"]
    places = {row["model"]: row["path"] for row in listed}
    assert places == dict.fromkeys(weights.CHECKPOINTS) | {"mini": str(built_in)}
    assert "not here" in CliRunner().invoke(command, ["list"]).stdout
    verified = CliRunner().invoke(command, ["verify", str(built_in)]).stdout
    assert "fits mini" in verified
    assert "that of the published file" in verified


@pytest.mark.parametrize("data", [b"<html>log in</html>" * 20_000, None], ids=["a page", "another model's"])
def test_what_is_no_checkpoint_is_not_called_fetched(
    data: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini_state: dict[str, torch.Tensor]
) -> None:
    fetched = tmp_path / "fetched.pth"
    if data is None:
        torch.save(mini_state, fetched)
    else:
        fetched.write_bytes(data)
    monkeypatch.setattr(hub, "fetch", lambda repository, filename, timeout_s: fetched)
    result = CliRunner().invoke(command, ["fetch", "vits"])
    assert result.exit_code == 2 and "sha256" not in result.stdout
    assert "HF_ENDPOINT" in result.stderr and str(fetched) in result.stderr


def test_the_command_fetches_and_shows_the_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = tmp_path / "fetched.pth"
    fetched.write_bytes(CONTENT)
    monkeypatch.setattr(weights, "require_whole", lambda file: None)
    monkeypatch.setattr(hub, "fetch", lambda repository, filename, timeout_s: fetched)
    result = CliRunner().invoke(command, ["fetch", "vitb"])
    assert hashlib.sha256(fetched.read_bytes()).hexdigest() in result.stdout
    assert "non-commercial" in result.stderr


def test_what_was_found_to_fit_is_not_looked_into_again(
    tmp_path: Path, mini_state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_file(mini_state, tmp_path / "mine.safetensors")
    found, wrong = (weights.resolve_weights(model, tmp_path / "mine.safetensors") for model in ("mini", "vits"))
    weights.require_fitting(found)
    for _ in range(2):
        with pytest.raises(WeightsError, match="not a checkpoint of vits"):
            weights.require_fitting(wrong)
    monkeypatch.setattr(checkpoints, "load_state_dict", lambda path: pytest.fail(f"{path} was read"))
    weights.require_fitting(found)
