"""Which build of PyTorch is taken, with stand-ins for pip and nvidia-smi that write down what they were asked."""

import os
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

import vda

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tools" / "install_torch.sh"
PYTHON = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *vda/outlook/kernels.py) exit {cuda} ;; *"import torch"*) exit {present} ;; esac
"""


def install(
    folder: Path, *, gpu: bool, cuda: bool = True, present: bool = False, index: str = ""
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run the script; return how it ended and what the stand-in for Python was asked to install."""
    log = folder / "log"
    log.touch()
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(log=log, cuda=int(not cuda), present=int(not present)))
    smi = folder / "path" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\n" + ("echo 'GPU 0: a card (UUID: GPU-1)'" if gpu else "echo 'No devices'; exit 9"))
    for stand_in in (python, smi):
        stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{smi.parent}:{os.environ['PATH']}"}
    command = ["sh", str(SCRIPT), str(python.parent), "torch==2.13.0", index]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    return result, "".join(line for line in log.read_text().splitlines(True) if "pip install" in line)


def test_the_version_that_is_packaged_is_the_packages_own() -> None:
    """Setuptools reads a plain assignment without importing what is not installed yet."""
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    assert settings["metadata"]["version"] == "attr: vda.__version__"
    assert f'\n__version__ = "{vda.__version__}"\n' in (ROOT / "vda" / "__init__.py").read_text()


def test_without_a_gpu_the_pinned_build_is_taken(tmp_path: Path) -> None:
    result, asked = install(tmp_path, gpu=False)
    assert result.returncode == 0
    assert asked.endswith(" torch==2.13.0\n")


def test_a_build_that_is_there_is_kept(tmp_path: Path) -> None:
    result, asked = install(tmp_path, gpu=False, present=True)
    assert (result.returncode, asked) == (0, "")


def test_with_a_gpu_the_newest_build_is_taken_from_the_index_given(tmp_path: Path) -> None:
    result, asked = install(tmp_path, gpu=True, index="https://example.org/cuda")
    assert result.returncode == 0
    assert "--index-url https://example.org/cuda torch\n" in asked


@pytest.mark.parametrize("present", [True, False])
def test_a_gpu_that_pytorch_cannot_use_is_an_error(tmp_path: Path, present: bool) -> None:
    """What it says is the program's own, which ``test_doctor`` tries."""
    result, _ = install(tmp_path, gpu=True, cuda=False, present=present)
    assert result.returncode == 1
