"""A short fuzzing of every parser, the same files each time; ``make fuzz`` does it at length."""

from collections.abc import Sized
from pathlib import Path

import pytest
from fuzz import Harm, Watch, attempts, bounded, hand_over
from fuzz_target import Target
from fuzz_targets import make_targets

from vda.depthmaps.files import open_stack
from vda.errors import InputError

pytestmark = pytest.mark.whole

EXAMPLES = 25
NAMES = [
    "video", "image_folder", "image_list", "images",
    "scene", "plan", "picture", "events", "frame_index", "raw_window", "worker", "trial", "shots", "mask", "typed",
    "foreign",
    "depth_record", "merged_depth", "depth_files", "depth_stack", "depth_image", "calibration",
    "camera", "poses", "reconstruction", "colmap",
    "tracks", "labels", "masks",
    "table", "scaled_table", "folds", "ledger", "times", "data_set",
    "checkpoint", "export_list",
]  # fmt: skip


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return make_targets(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def test_all_parsers_are_named(targets: dict[str, Target]) -> None:
    assert list(targets) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_valid_files_are_read(targets: dict[str, Target], watch: Watch, tmp_path: Path, name: str) -> None:
    """Or nothing behind the first look would ever be reached."""
    for place, files in enumerate(targets[name].seeds):
        folder = tmp_path / str(place)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        found = targets[name].read(folder)
        assert not isinstance(found, Sized) or len(found), "nothing was read"


@pytest.mark.parametrize("name", NAMES)
def test_wrong_files_do_no_harm(targets: dict[str, Target], watch: Watch, tmp_path: Path, name: str) -> None:
    attempts(targets[name], 1, EXAMPLES, lambda files: hand_over(targets[name], files, tmp_path / "in", watch))


def write_elsewhere(folder: Path) -> None:
    (folder.parent / "elsewhere").write_text("")


def spin(folder: Path) -> None:
    while True:
        pass


def crash(folder: Path) -> None:
    raise KeyError("frames")


def refuse(folder: Path) -> None:
    raise InputError("It is wrong.", "Make it again.")


def test_harm_is_noticed(watch: Watch, tmp_path: Path) -> None:
    for read in (write_elsewhere, crash):
        with pytest.raises((Harm, KeyError), match=r"outside|frames"):
            hand_over(Target("", read, ({},)), {"a": b""}, tmp_path / "in", watch)
    with pytest.raises(Harm, match="took longer"), bounded(seconds=0.05):
        spin(tmp_path)
    with pytest.raises(MemoryError), bounded(memory_bytes=1 << 20):
        # More than what the heap may have of freed memory, which needs none of the system.
        bytearray(1 << 32)
    hand_over(Target("", refuse, ({},)), {"a": b""}, tmp_path / "in", watch)


def test_values_of_no_size_do_not_end_the_process(tmp_path: Path) -> None:
    """NumPy maps them by a division by zero; fuzzing found it."""
    header = b"{'descr': '|V0', 'fortran_order': False, 'shape': (-1,), }\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    with pytest.raises(InputError, match="V0"):
        open_stack(tmp_path / "a.npy")
