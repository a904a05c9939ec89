"""The house: which file may import which, what is light, and that the README's tree is the files'."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room (a folder of the package, or a file beside the folders) imports only from rooms that stand before it here.
ROOMS = [
    "errors", "shown", "files", "records", "reporter",
    "machine", "picture", "stills", "video", "network", "camera", "scene", "models", "tracks", "depthmaps",
    "refining", "stereo", "linking", "joining", "calibration", "metrics", "compute",
    "merging", "enriching", "evaluation", "comparing", "exporting", "viewing", "synth", "training",
    "launch", "supervisor", "cluster", "outlook",
    "splitting", "api", "fvc", "cli", "__main__",
]  # fmt: skip
# More would be no house that a reader can keep in mind.
MOST_ROOMS, MOST_FILES = 39, 12
MAY_BE_LARGE = {"synth", "fvc", "cli"}
MAY_IMPORT_TORCH = {
    "network",
    "compute/coding",
    "compute/engine",
    "compute/footprint",
    "compute/openvino",
    "compute/pace",
    "compute/traffic",
    "synth",
    "training",
    "fvc/dataset",
}
HEAVY = {"torch", "numpy", "cv2", "av", "scipy", "matplotlib", "polars", "pandas"}

# What the one protocol, ``Reporter``, does away with.
TELLING = {"begin", "at", "say", "progress", "on_progress"}

MODULES = sorted(path for path in (ROOT / "vda").rglob("*.py") if path != ROOT / "vda" / "__init__.py")
FOLDERS = sorted(path.parent for path in (ROOT / "vda").glob("*/__init__.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def room(path: Path) -> str:
    return path.relative_to(ROOT / "vda").parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    """``compute/engine``; the ``__init__`` of a folder is the folder."""
    return str(path.relative_to(ROOT / "vda").with_suffix("")).removesuffix("/__init__")


def imported(tree: ast.AST) -> list[str]:
    """Every name that is imported, whole: ``from vda.scene import windows`` is ``vda.scene.windows``."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@cache
def imports_of(path: Path) -> list[str]:
    return imported(tree_of(path))


def at_module_level(tree: ast.Module) -> list[str]:
    """What an import of the module imports: bodies of functions and of TYPE_CHECKING do not count."""
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        and not isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return imported(ast.Module(body, []))


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports_of(path))
    return {parts[1] for parts in names if parts[0] == "vda" and len(parts) > 1} - {room(path), "__version__"}


def test_the_order_of_rooms_names_what_there_is() -> None:
    assert sorted(ROOMS) == sorted({room(path) for path in MODULES})
    assert len(ROOMS) <= MOST_ROOMS


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_from_rooms_before_it(path: Path) -> None:
    before = ROOMS[: ROOMS.index(room(path))]
    assert rooms_imported(path) <= set(before)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_inside_a_folder_there_are_no_circles(folder: Path) -> None:
    files = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    arrows = {
        stem: {other for other in files if imports_file(path, folder, other)} for stem, path in files.items()
    }
    # A circle raises; else every file has a place in the order.
    assert set(graphlib.TopologicalSorter(arrows).static_order()) == set(files)


def imports_file(path: Path, folder: Path, other: str) -> bool:
    prefix = f"vda.{folder.name}.{other}"
    return any(name == prefix or name.startswith(f"{prefix}.") for name in imports_of(path))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_folder_lists_its_files_with_a_phrase_each(folder: Path) -> None:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    listed = re.findall(r"^ {4}(\w+) {2,}\S", docstring, re.MULTILINE)
    files = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
    assert sorted(listed) == sorted(files)
    assert len(files) <= MOST_FILES or folder.name in MAY_BE_LARGE


def test_no_two_classes_share_a_name() -> None:
    """Nobody who meets a name has to ask which it is; what a file keeps to itself may be called anything."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_is_loaded_only_where_tensors_are_made(path: Path) -> None:
    heavy = [name for name in at_module_level(tree_of(path)) if name.split(".")[0] == "torch"]
    assert not heavy or {room(path), name_of(path)} & MAY_IMPORT_TORCH


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_only_some_work_needs_is_loaded_by_that_work(path: Path) -> None:
    """A command that finds all of it done would wait for SciPy and Matplotlib longer than for all else."""
    heavy = [name for name in at_module_level(tree_of(path)) if name.split(".")[0] in ("scipy", "matplotlib")]
    assert not heavy or room(path) in ("synth", "training")


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, vda.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(loaded.stdout.split())


def test_choosing_what_a_run_computes_with_loads_no_pytorch() -> None:
    code = "import sys, vda.api.todepth, vda.compute.precision; print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "False\n"


def test_only_commands_print() -> None:
    for path in MODULES:
        calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert room(path) == "cli" or not printing, path
        # The monitor moves the cursor itself; its lines are made fit where they are made.
        # Lines are said one by one: a line end in one of them is part of a name, and is spelled.
        alone = name_of(path) in ("cli/output", "cli/monitor")
        assert alone or "click.echo(" not in path.read_text(), path
        assert alone or room(path) != "cli" or '"\\n".join' not in path.read_text(), path


def told_by_hand(node: ast.AST) -> set[str]:
    """Parameters of a public function, and callables that a class keeps, which do what a ``Reporter`` is for."""
    if isinstance(node, ast.ClassDef):
        kept = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        return {ast.unparse(item.target) for item in kept if "Callable" in ast.unparse(item.annotation)} & TELLING
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        # ``vda enrich --at`` is a place, one of some words.
        words = {item.arg for item in arguments if item.annotation and "Literal" in ast.unparse(item.annotation)}
        return {item.arg for item in arguments} & TELLING - words
    return set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_how_work_goes_is_told_to_a_reporter(path: Path) -> None:
    found = {name for node in ast.walk(tree_of(path)) for name in told_by_hand(node)}
    assert not found


# What lies in a scene or in a folder of depth: spelled in one file, or a rename breaks what nobody looked at.
FILE_NAMES = {
    "scene.json", "frame_index.npz", "vda_chunks", "chunks_metadata.json", "vda_video_chunks", "vda_windows",
    "run.json", "vda_run", "vda_logs", "supervisor.log", "supervisor.lock", "vda_depth_final",
    "vda_merged_depth", "depth.json", "merge.json", "depth_visualization.mp4", "calibration.json", "report.html",
    "report.json", "detached.log", "detached.lock", "scaled_metadata.csv",
}  # fmt: skip


def test_each_file_name_has_one_owner() -> None:
    owners: dict[str, set[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and node.value in FILE_NAMES:
                owners.setdefault(node.value, set()).add(name_of(path))
    assert {name for name, files in owners.items() if len(files) != 1} == set()
    assert owners.keys() == FILE_NAMES


def test_the_readmes_tree_is_the_files() -> None:
    lines = (ROOT / "README.md").read_text().split("```")
    tree = next(block for block in lines if "setup.cfg" in block and "vda/" in block)
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ") and line.strip()}
    assert {name.removesuffix(".py") for name in named} == set(ROOMS) - {"__main__"}
