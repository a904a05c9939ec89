"""The versions of what is installed here, without loading it: PyTorch alone takes seconds.

Out: plain strings. This file does not know what is needed.
"""

import platform
import runpy
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vda import __version__


def installed(package: str) -> str | None:
    """The version of ``package``, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def torch_build() -> tuple[str | None, str | None]:
    """PyTorch's version, and what it was built for ("CUDA 13.0", "ROCm 6.4"); None where it has none."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None, None
    try:
        facts: dict[str, Any] = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    except OSError:
        return installed("torch"), None
    built_for = (
        f"CUDA {facts['cuda']}" if facts.get("cuda") else f"ROCm {facts['hip']}" if facts.get("hip") else None
    )
    return facts.get("__version__", installed("torch")), built_for


def driver() -> tuple[str | None, str | None]:
    """NVIDIA's driver and the newest CUDA that it runs, such as ("580.65", "13.0"); None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        cuda = pynvml.nvmlSystemGetCudaDriverVersion()
        return pynvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}"
    except Exception:  # no driver, or one that does not answer: ``doctor`` says which
        return None, None


def lines() -> list[str]:
    """What a report of a fault should begin with."""
    torch, built_for = torch_build()
    has, runs = driver()
    return [
        f"vda {__version__}",
        f"Python {platform.python_version()} ({sys.executable})",
        f"PyTorch {torch or 'not installed'}, {f'built for {built_for}' if built_for else 'without CUDA'}",
        f"NVIDIA driver {has}, for CUDA up to {runs}" if has else "no NVIDIA driver",
        f"PyAV {installed('av')}, OpenCV {installed('opencv-python-headless')}, NumPy {installed('numpy')}",
    ]
