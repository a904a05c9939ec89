"""``make bench``: every measurement that is a ratio, a size or a rate, with its bound. Speed is judged here only.

``python -m bench [NAME ...]`` runs those named, or all; it exits 1 where a bound is missed.
"""

import importlib
import pkgutil
import sys
from types import ModuleType

import bench


def benches() -> dict[str, ModuleType]:
    """The modules of this package that measure something: those with a function ``measure``."""
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name != "__main__"]
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def main(wanted: list[str]) -> int:
    missed = 0
    for name, module in benches().items():
        if wanted and name not in wanted:
            continue
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        for figure in module.measure():
            print(f"  {figure}", flush=True)
            missed += not figure.holds
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
