"""``make gpu``: all that is to be known of a GPU, in one command of at most eight minutes, and one JSON file.

``python -m bench.gpu`` needs PyTorch 2.4, NumPy and OpenCV, this checkout, and nothing else: no package of the
project's installed, no network, no weights. Each stage runs in a process of its own: one that fails, hangs or
takes its process down is told in the file, and the rest goes on. ``--device cpu --tiny`` runs it in seconds.
"""

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[1]
# Imported by files of which nothing is called here that needs them.
_NOT_CALLED = ("numcodecs", "psutil")
# In the order of what one would miss most; seconds that a stage gets at most.
_STAGES = {
    "machine": 30, "parity": 100, "traffic": 40, "precision": 80, "speed": 100, "memory": 80, "shortage": 40,
    "overlap": 60, "two_workers": 60, "compiled": 150,
}  # fmt: skip
_SECONDS = 470

Results = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Run the stages and write what they gave; return 1 where one failed or a bound is missed."""
    options = _parsed(arguments)
    _stand_in_for_what_is_missing()
    if options.worker:
        from bench.gpuspeed import work_beside

        work_beside(options.device, options.tiny, options.worker)
        return 0
    if options.stage:
        return 1 if "failed" in _run_here(options.stage, options, Path(options.json)) else 0
    return _run_all(options)


def _run_all(options: argparse.Namespace) -> int:
    found: Results = {"begun": datetime.now(UTC).isoformat(timespec="seconds"), "tiny": options.tiny, "stages": {}}
    end = time.monotonic() + _SECONDS
    for name in options.only.split(",") if options.only else _STAGES:
        print(f"\n{name}", flush=True)
        found["stages"][name] = _run_here(name, options) if options.here else _run_apart(name, options, end)
        # After each stage: whoever stops it has what there is.
        _write(found, options)
    found["seconds"] = round(time.monotonic() - end + _SECONDS, 1)
    print(f"\nWritten to {_write(found, options)}.")
    return _judged(found)


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="by PyTorch's name: cuda:0, mps, cpu")
    parser.add_argument("--tiny", action="store_true", help="small sizes and one model: does it run at all?")
    parser.add_argument("--json", default="", help="where to write; docs/gpu/<card>.json by default")
    parser.add_argument("--only", default="", help=f"stages with commas: {', '.join(_STAGES)}")
    parser.add_argument("--here", action="store_true", help="all stages in this process")
    parser.add_argument("--stage", default="", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _stand_in_for_what_is_missing() -> None:
    for name in _NOT_CALLED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = MagicMock()


def stages() -> dict[str, Callable[[Any], Iterator[tuple[str, Any]]]]:
    """The stages by name: each yields what it found, as a name and a JSON value."""
    from bench import gpuchecks, gpuspeed

    return {name: getattr(gpuchecks, name, None) or getattr(gpuspeed, name) for name in _STAGES}


def _run_here(name: str, options: argparse.Namespace, target: Path | None = None) -> Results:
    """Run a stage in this process; what it finds is in ``target`` as soon as it is found."""
    found: Results = {}
    began = time.monotonic()

    def keep() -> None:
        found["seconds"] = round(time.monotonic() - began, 1)
        if target is not None:
            target.write_text(json.dumps(found))

    try:
        from bench.gpuchecks import Card

        for key, value in stages()[name](Card.named(options.device, options.tiny)):
            found[key] = value
            print(f"  {key:<44} {_shown(value)}", flush=True)
            keep()
    except Exception as error:
        found["failed"] = f"{type(error).__name__}: {error}"
        found["where"] = traceback.format_exc().splitlines()[-6:]
        print(f"  failed: {found['failed']}", flush=True)
    keep()
    return found


def _run_apart(name: str, options: argparse.Namespace, end: float) -> Results:
    """Run a stage in a process of its own, which may die or hang."""
    limit = min(_STAGES[name], end - time.monotonic())
    if limit <= 5:
        return {"failed": "there was no time left for it"}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "found.json"
        command = [
            sys.executable,
            "-m",
            "bench.gpu",
            "--stage",
            name,
            "--device",
            options.device,
            "--json",
            str(path),
        ]
        problem = ""
        try:
            ended = subprocess.run(command + ["--tiny"] * options.tiny, cwd=ROOT, timeout=limit, check=False)
            if ended.returncode not in (0, 1):
                problem = f"its process ended with {ended.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"it took longer than {limit:.0f} s"
        found: Results = json.loads(path.read_text()) if path.exists() else {"failed": "it left nothing"}
    if problem:
        print(f"  failed: {problem}", flush=True)
        found["failed"] = problem
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {_shown(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(found: Results, options: argparse.Namespace) -> Path:
    target = Path(options.json) if options.json else _target(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    return target


def _target(found: Results) -> Path:
    card = str(found["stages"].get("machine", {}).get("name", "unknown"))
    name = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    return ROOT / "docs" / "gpu" / f"{name}-{found['begun'][:10]}.json"


def _judged(found: Results) -> int:
    """Say which stages failed and which bounds are missed."""
    failed = [name for name, stage in found["stages"].items() if "failed" in stage]
    missed = [
        f"{name}: {key}"
        for name, stage in found["stages"].items()
        for key, value in stage.items()
        if isinstance(value, dict) and (value.get("holds") is False or "failed" in value)
    ]
    print(f"Failed: {', '.join(failed) or 'nothing'}. Missed: {', '.join(missed) or 'nothing'}.")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
