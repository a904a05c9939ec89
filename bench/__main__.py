"""``make bench``: every measurement that is a ratio, a size or a rate, with its bound. Speed is judged here only.

``python -m bench [--keep] [NAME ...]`` runs those named, or all; it exits 1 where a bound is missed. With
``--keep`` the figures of each that ran to its end are put into ``docs/bench/figures.json``.
"""

import importlib
import pkgutil
import sys
from types import ModuleType

import bench
from bench.keeping import keep, load


def benches() -> dict[str, ModuleType]:
    """The modules of this package that measure something: those with a function ``measure``."""
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name != "__main__"]
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def main(wanted: list[str]) -> int:
    missed = 0
    to_keep = "--keep" in wanted
    wanted = [name for name in wanted if name != "--keep"]
    for name, module in benches().items():
        if wanted and name not in wanted:
            continue
        print(f"{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        before, figures = load(), []
        for figure in module.measure():
            print(f"  {figure}", flush=True)
            figures.append(figure)
        missed += sum(not figure.holds for figure in figures)
        if to_keep:
            keep(name, figures, before)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
