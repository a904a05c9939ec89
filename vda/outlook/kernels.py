"""Whether a build of PyTorch has code for a card: the driver and ``is_available`` say yes where it has none.

In: the architectures of the build and the card's compute capability. Out: yes or no, and which build to take. It
needs PyTorch alone: ``make setup`` runs this file as a program before the package is installed.
"""

import re
import sys
from collections.abc import Iterable
from typing import Any

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")
# CUDA 13 compiles for nothing older than Turing (its release notes), and CUDA 12.6 for nothing newer than Hopper.
_FIRST_OF_CUDA_13 = (7, 5)


def has_kernels(architectures: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether code for ``architectures`` ("sm_86", "compute_90", "sm_90a") runs on a card of ``capability``.

    Binary code runs on cards of the same major and at least the same minor version, intermediate code
    (``compute_``) on every later card; with an ``a`` either runs on that version alone, with an ``f`` on that
    major version (CUDA C++ Programming Guide, "Compute Capabilities" and "Family-Specific Features").
    """
    return any(_runs(name, capability) for name in architectures)


def _runs(name: str, capability: tuple[int, int]) -> bool:
    if (found := _ARCHITECTURE.fullmatch(name)) is None:
        return False
    kind, major, minor, special = found.groups()
    made_for = (int(major), int(minor))
    if special == "a":
        return capability == made_for
    if kind == "sm" or special == "f":
        return capability[0] == made_for[0] and capability >= made_for
    return capability >= made_for


def build_for(capability: tuple[int, int]) -> str:
    """Which build to take for a card that the one at hand has no code for, in words."""
    if capability < _FIRST_OF_CUDA_13:
        return "PyTorch's build for CUDA 12.6, the last that has code for cards as old as this"
    return "PyTorch's newest build, for CUDA 12.8 or later"


def lacking(torch: Any) -> list[tuple[str, tuple[int, int]]]:
    """The cards, by name and capability, that ``torch`` (the module) sees and has no code for."""
    architectures = torch.cuda.get_arch_list()
    cards = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    found = ((card.name, (card.major, card.minor)) for card in cards)
    return [(name, capability) for name, capability in found if not has_kernels(architectures, capability)]


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        sys.stderr.write("The driver sees a GPU and PyTorch cannot use it.\n")
        sys.stderr.write("Give TORCH_INDEX= the address of a PyTorch build for this driver (see nvidia-smi).\n")
        return 1
    for name, capability in (without := lacking(torch)):
        version = ".".join(map(str, capability))
        sys.stderr.write(f"PyTorch {torch.__version__} has no code for {name} (compute capability {version}).\n")
        sys.stderr.write(f"Give TORCH_INDEX= the address of {build_for(capability)}.\n")
    return 1 if without else 0


if __name__ == "__main__":
    raise SystemExit(main())
