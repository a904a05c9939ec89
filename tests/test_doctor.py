"""What the doctor says of machines that lack something, and what a shell gets to complete words."""

import json
import os
import platform
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch
from click.testing import CliRunner, Result
from fake_nvml import GIB, Card, Error, FakeNvml, gtx_1660_ti, process

import vda.outlook.doctor
import vda.outlook.kernels
from vda.cli import main
from vda.errors import DeviceError
from vda.machine.devices import Inventory, cpu_device
from vda.network import build_model
from vda.outlook.abilities import by_measurement, seconds_a_window
from vda.outlook.doctor import Diagnosis, examine
from vda.outlook.kernels import build_for, has_kernels, lacking

pytestmark = pytest.mark.whole

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        # NVIDIA's table of compute capabilities: GTX 1080, V100, GTX 1660 Ti, RTX 4090, H100, RTX 5090.
        ((6, 1), CUDA_13, False),
        ((6, 1), CUDA_12_6, True),
        ((7, 0), CUDA_13, False),
        ((7, 5), CUDA_13, True),
        ((8, 9), CUDA_13, True),
        ((9, 0), CUDA_12_6, True),
        ((12, 0), CUDA_12_6, False),
        # Intermediate code is compiled for every later card by the driver, and for no earlier one.
        ((12, 0), [*CUDA_12_6, "compute_90"], True),
        ((8, 0), ["compute_90"], False),
        ((8, 0), ["sm_86"], False),
        # Of one version alone, and of one family.
        ((9, 0), ["sm_90a"], True),
        ((10, 0), ["sm_90a", "compute_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((12, 0), ["sm_100f"], False),
        ((8, 0), [], False),
        ((8, 0), ["gfx90a"], False),
    ],
)
def test_code_runs_on_the_cards_that_cuda_says_it_runs_on(
    capability: tuple[int, int], architectures: list[str], runs: bool
) -> None:
    assert has_kernels(architectures, capability) is runs


def fake_torch(architectures: list[str], *, available: bool = True) -> Any:
    card = SimpleNamespace(name="NVIDIA GeForce GTX 1080", major=6, minor=1)
    cuda = SimpleNamespace(
        get_arch_list=lambda: architectures,
        is_available=lambda: available,
        device_count=lambda: 1,
        get_device_properties=lambda index: card,
    )
    return SimpleNamespace(cuda=cuda, __version__="2.13.0+cu130")


def test_setup_names_the_card_that_a_build_has_no_code_for_and_the_build_to_take() -> None:
    assert lacking(fake_torch(CUDA_13)) == [("NVIDIA GeForce GTX 1080", (6, 1))]
    assert lacking(fake_torch(CUDA_12_6)) == []
    assert "CUDA 12.6" in build_for((6, 1))
    assert "CUDA 12.8 or later" in build_for((12, 0))


@pytest.mark.parametrize(
    ("torch", "code", "words"),
    [
        (fake_torch(CUDA_12_6), 0, ""),
        (fake_torch(CUDA_13), 1, "no code for NVIDIA GeForce GTX 1080 (compute capability 6.1)"),
        (fake_torch(CUDA_12_6, available=False), 1, "TORCH_INDEX"),
    ],
)
def test_setup_ends_with_1_where_a_card_could_not_be_used(
    torch: Any, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert vda.outlook.kernels.main() == code
    assert words in capsys.readouterr().err


def findings(folder: Path, cards: list[Card], torch: Any = None, **surroundings: Any) -> dict[str, Diagnosis]:
    start = surroundings.pop("start", None)
    inventory = Inventory(FakeNvml(cards, start), surroundings, user="me", owner_of={200: "alice"}.get)
    return {finding.name: finding for finding in examine(folder, inventory, torch)}


CARD = "GPU 0 (NVIDIA GeForce GTX 1660 Ti)"


def gtx_1080() -> Card:
    return gtx_1660_ti(0, nvmlDeviceGetCudaComputeCapability=(6, 1))


def test_a_card_that_works(tmp_path: Path) -> None:
    found = findings(tmp_path, [gtx_1660_ti(0)], fake_torch(CUDA_13))[CARD]
    assert found.state == "ok"
    # 6 GiB less 300 MiB.
    assert "6.1 of 6.4 GB free" in found.found


def test_a_card_is_told_what_its_memory_holds(tmp_path: Path) -> None:
    """The published models have 28.4, 113.1 and 382 million parameters, of 4 bytes each."""
    small = gtx_1660_ti(0, nvmlDeviceGetMemoryInfo=SimpleNamespace(total=2 * GIB, used=0, free=2 * GIB))
    fits = {
        a.model: (a.fits, a.memory_bytes) for a in findings(tmp_path, [small], fake_torch(CUDA_13))[CARD].abilities
    }
    assert {name: fit for name, (fit, _) in fits.items()} == {
        "mini": True,
        "vits": True,
        "vitb": True,
        "vitl": False,
    }
    for name, parameters in (("vits", 28.4e6), ("vitb", 113.1e6), ("vitl", 382e6)):
        # Half a gigabyte of CUDA's, and at most one of the network's on its way.
        assert 0.5e9 < (fits[name][1] or 0) - 4 * parameters < 1.5e9


def test_speed_is_measured_in_a_process_that_sees_the_device() -> None:
    (ability,) = by_measurement(cpu_device(), "fp32", ["mini"])
    assert (ability.model, ability.net_width, ability.net_height) == ("mini", 192, 112)
    assert ability.frames_per_second is not None and ability.frames_per_second > 0


def test_a_window_can_be_timed_on_any_device() -> None:
    assert seconds_a_window(build_model("mini"), torch.device("cpu"), 32, 32) > 0


def test_what_cannot_be_measured_is_said_with_its_reason() -> None:
    with pytest.raises(DeviceError, match="could not be measured: KeyError: 'unknown'"):
        by_measurement(cpu_device(), "fp32", ["unknown"])


@pytest.mark.parametrize(
    ("card", "torch", "words"),
    [
        (gtx_1080(), fake_torch(CUDA_13), "CUDA 12.6"),
        (gtx_1080(), fake_torch(CUDA_12_6, available=False), "TORCH_INDEX"),
        # The tests' own PyTorch.
        (gtx_1660_ti(0), None, "make setup"),
    ],
)
@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch can use GPUs")
def test_a_card_that_pytorch_cannot_use_is_wrong(tmp_path: Path, card: Card, torch: Any, words: str) -> None:
    found = findings(tmp_path, [card], torch)[CARD]
    assert found.state == "wrong"
    assert words in (found.remedy or "")


def test_a_driver_that_does_not_answer_is_wrong(tmp_path: Path) -> None:
    broken = Error(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    assert findings(tmp_path, [], start=broken)["devices"].state == "wrong"


def test_a_card_that_others_use_is_left_alone(tmp_path: Path) -> None:
    card = gtx_1660_ti(0, nvmlDeviceGetComputeRunningProcesses_v2=[process(200)])
    found = findings(tmp_path, [card], fake_torch(CUDA_13))[CARD]
    assert found.state == "note"
    assert "alice" in found.found


def test_a_card_that_fell_off_the_bus_is_no_reason_not_to_run(tmp_path: Path) -> None:
    """``--devices auto`` takes the others."""
    lost = gtx_1660_ti(0, nvmlDeviceGetMemoryInfo=Error(pynvml.NVML_ERROR_GPU_IS_LOST))
    found = findings(tmp_path, [lost, gtx_1660_ti(1)], fake_torch(CUDA_13))
    (said,) = (one for one in found.values() if "bus" in one.found)
    assert said.state == "note"
    assert found["GPU 1 (NVIDIA GeForce GTX 1660 Ti)"].state == "ok"


def test_hidden_cards_are_named(tmp_path: Path) -> None:
    found = findings(tmp_path, [gtx_1660_ti(0)], fake_torch(CUDA_13), CUDA_VISIBLE_DEVICES="")
    assert "CUDA_VISIBLE_DEVICES" in found["devices"].found
    assert "cpu" in found


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def test_here_it_runs_and_leaves_nothing(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--json")
    states = {finding["name"]: finding["state"] for finding in json.loads(result.output)["findings"]}
    assert states["locks"] == states["decoders"] == "ok"
    assert result.exit_code == int("wrong" in states.values())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_still_to_come_is_judged_by_where_it_will_be(tmp_path: Path) -> None:
    assert str(tmp_path) in doctor(tmp_path / "to" / "come").output
    assert list(tmp_path.iterdir()) == []


def test_locks_that_do_not_hold_and_a_full_disk_end_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(vda.outlook.doctor, "lock_is_held", lambda path: False)
        result = doctor(tmp_path)
    assert result.exit_code == 1
    assert "grants a lock to two at once" in result.output
    monkeypatch.setattr(vda.outlook.doctor, "disk_free_bytes", lambda folder: 10**8)
    result = doctor(tmp_path)
    assert result.exit_code == 1
    assert "Free some space" in result.output


def test_the_version_names_everything_a_report_of_a_fault_needs() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    for version in (vda.__version__, platform.python_version(), torch.__version__):
        assert version in result.output


VERSION_AND_TORCH = """
import sys
from vda.cli import main
main(["--version"], standalone_mode=False)
print("torch" in sys.modules)
"""


def test_the_version_does_not_load_pytorch() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", VERSION_AND_TORCH], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "False"


def completion(shell: str) -> str:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    return result.output


@pytest.fixture
def with_program(tmp_path: Path) -> dict[str, str]:
    """An environment with a program ``vda`` on its way, and a home of nobody's."""
    program = tmp_path / "vda"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vda "$@"\n')
    program.chmod(0o755)
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return {**os.environ, **home, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb"}


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here, so that it was not run")


def test_bash_completes_commands_and_options(with_program: dict[str, str]) -> None:
    """By bash itself."""
    script = (
        completion("bash")
        + "\n"
        + "".join(
            f'COMP_WORDS=({words}); COMP_CWORD={at}; _vda_completion vda; echo "${{COMPREPLY[@]}}"; COMPREPLY=()\n'
            for words, at in (("vda spl", 1), ("vda merge --ali", 2))
        )
    )
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=with_program)
    assert shown.stdout.split() == ["split", "--align"]


def test_fish_completes_commands_and_options(with_program: dict[str, str]) -> None:
    """By fish itself, which says what it would offer, each with its help after a tab."""
    needs("fish")
    script = completion("fish") + "\ncomplete -C 'vda spl'\ncomplete -C 'vda merge --ali'\n"
    shown = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True, env=with_program)
    assert [line.split("\t")[0] for line in shown.stdout.splitlines()] == ["split", "--align"]


def test_zsh_completes_commands_and_options(with_program: dict[str, str], tmp_path: Path) -> None:
    """By zsh itself at a terminal, where tab is pressed."""
    needs("zsh")
    (tmp_path / "completion").write_text(completion("zsh"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, env=with_program, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            os.write(
                ours, f"autoload -Uz compinit; compinit -u; . {tmp_path}/completion; print rea''dy\n".encode()
            )
            read_until(ours, b"ready")
            os.write(ours, b"vda spl\t")
            read_until(ours, b"vda split")
            os.write(ours, b"\x15vda merge --ali\t")
            read_until(ours, b"vda merge --align")
        finally:
            process.kill()


def read_until(terminal: int, wanted: bytes) -> None:
    """Wait until ``wanted`` was shown; the terminal's end, or four minutes without a word, is an error."""
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], 240)
        assert ready, seen
        seen += os.read(terminal, 4096)
