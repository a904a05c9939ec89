"""Figures in a file: which machine they are of, when, under what load. Each measurement stands as last run.

``{"whole": {"date": ..., "machine": {...}, "load": [before, after], "figures": [...]}, ...}``, by the measurement.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from bench.figures import Figure
from vda.files import write_json
from vda.machine.devices import cpu_device

KEPT = Path(__file__).parents[1] / "docs" / "bench" / "figures.json"
_PACKAGES = ("torch", "openvino", "numpy", "opencv-python-headless", "av", "numcodecs")


def kept(path: Path = KEPT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def keep(name: str, figures: Sequence[Figure], load_before: float, path: Path = KEPT) -> None:
    """Put the figures of measurement ``name`` in the place of those it had; ``load_before`` of the last minute."""
    entry = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": _machine(),
        "load": [round(load_before, 1), round(load(), 1)],
        "figures": [asdict(figure) | {"value": _short(figure.value)} for figure in figures],
    }
    write_json(path, dict(sorted({**kept(path), name: entry}.items())))


def load() -> float:
    """How many processes wanted a core in the last minute."""
    return os.getloadavg()[0]


def figures_of(entry: dict[str, Any]) -> list[Figure]:
    return [Figure(**figure) for figure in entry["figures"]]


def _short(value: float) -> float:
    """Four digits: more were never measured."""
    return float(f"{value:.4g}")


def _machine() -> dict[str, Any]:
    return {
        "cpu": cpu_device().name,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        **{name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
