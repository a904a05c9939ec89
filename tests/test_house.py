"""The house: which file may import which, what is light, and that the README's tree is the files'."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports only from groups before its own; inside a package, from its own folder too.
LAYERS = [
    "errors",
    "files",
    "windows sampling align joint camera camerafiles poses reconstruction",
    "chunks metrics",
    "scene runstate status devices choice host",
    "video depthmap depthfiles depthsource rawwindows tracks sampling smoothing",
    "shots",
    "network",
    "hub checkpoints weights",
    "ladder engine pace",
    "precision",
    "computing trial",
    "camerachoice calibration knownsize calibrationchoice draw trackfigure joining synth",
    "pieces chunkdepths scenedepth steadiness seams reportfigures outputs framewriting",
    "split extract worker merge enrich export evaluate training",
    "launch",
    "supervisor monitor report doctor",
    "resolve",
    "pipeline",
    "fvc",
    "cli",
    "__main__",
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}
MAY_IMPORT_TORCH = {"network", "engine", "pace", "precision", "synth", "training"}
HEAVY = {"torch", "numpy", "cv2", "av", "scipy", "matplotlib", "polars", "pandas"}

MODULES = sorted(path for path in (ROOT / "vda").rglob("*.py") if path != ROOT / "vda" / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(ROOT / "vda").parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module] if node.module != "vda" else [f"vda.{alias.name}" for alias in node.names]
    return names


def at_module_level(tree: ast.Module) -> list[str]:
    """What an import of the module imports: bodies of functions and of TYPE_CHECKING do not count."""
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        and not isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return imported(ast.Module(body, []))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    own = room(path)
    assert own in LEVEL, f"{own} has no place in the order"
    for name in imported(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "vda" or parts[1:2] in ([], ["__version__"], [own]):
            continue
        assert LEVEL[parts[1]] < LEVEL[own] or same_group_leaf(parts[1], own), f"{own} imports {parts[1]}"


def same_group_leaf(other: str, own: str) -> bool:
    """Within a group a file split off another may be imported by it, in the order of the list."""
    names = LAYERS[LEVEL[own]].split()
    return other in names and names.index(other) < names.index(own) and own not in STAGES


STAGES = {"split", "worker", "merge", "enrich", "export", "evaluate", "training"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_is_loaded_only_where_tensors_are_made(path: Path) -> None:
    heavy = [name for name in at_module_level(ast.parse(path.read_text())) if name.split(".")[0] == "torch"]
    assert not heavy or room(path) in MAY_IMPORT_TORCH


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, vda.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())


def test_only_commands_print() -> None:
    for path in MODULES:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert room(path) == "cli" or not printing, path


def test_the_readmes_tree_is_the_files() -> None:
    lines = (ROOT / "README.md").read_text().split("```")
    tree = next(block for block in lines if "setup.cfg" in block and "vda/" in block)
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ") and line.strip()}
    present = {path.stem if path.is_file() else path.name for path in (ROOT / "vda").iterdir() if is_room(path)}
    assert {name.removesuffix(".py") for name in named} == present


def is_room(path: Path) -> bool:
    return (path.suffix == ".py" or path.is_dir()) and not path.name.startswith("__") and path.name != "mini"
