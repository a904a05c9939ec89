"""Checkpoints of strangers that ask for more than they hold: refused by what they declare, nothing unpacked."""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from depth_runs import vda_here

from vda.cli.weights import weights as command
from vda.errors import WeightsError
from vda.models import checkpoints, hub
from vda.models.declared import require_plain


def rewritten(path: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write the parts of the archive ``path`` again, each changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, change(name, data))


def saved(value: object) -> Callable[[Path], None]:
    return lambda path: torch.save(value, path)


def lying_storage(path: Path) -> None:
    """A storage of three numbers that says it has a thousand: what lies behind it in memory would be read."""
    torch.save({"a": torch.zeros(3)}, path)
    # BININT1 3 for the items of the storage and for the length of the tensor.
    rewritten(path, lambda name, data: data.replace(b"K\x03", b"M\xe8\x03") if name.endswith(".pkl") else data)


def zeros_for_pickle(compression: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with (
            zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive,
            archive.open("archive/data.pkl", "w", force_zip64=True) as part,
        ):
            for _ in range(1024):
                part.write(bytes(1 << 20))

    return write


def compressed(path: Path) -> None:
    torch.save({"a": torch.zeros(1 << 20)}, path)
    rewritten(path, lambda name, data: data, zipfile.ZIP_DEFLATED)


def thousand_views(path: Path) -> None:
    whole = torch.zeros(1000, dtype=torch.float16)
    torch.save({str(number): whole.view(-1) for number in range(1000)}, path)


def old_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            data = pickle.dumps({"little_endian": True}, 2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def twice(path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("evil/data.pkl", b"other")


def memo(path: Path) -> None:
    """LONG_BINPUT 2**32 - 1, for which C's unpickler reserves 64 GiB."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}r\xff\xff\xff\xff" + b"X\xff\xff\xff\x7fa")


def sparse(path: Path) -> None:
    tensor = torch.sparse_coo_tensor(
        torch.zeros((2, 1), dtype=torch.long), torch.ones(1), (10**7, 10**6), check_invariants=True
    )
    torch.save({"a": tensor}, path)


def quantised(path: Path) -> None:
    """What PyTorch calls for a quantised tensor, which it would make of any size."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_qtensor\n)Rs.")


EVIL: dict[str, tuple[Callable[[Path], None], str]] = {
    "expanded": (saved({"a": torch.zeros(1).expand(10**13)}), "does not lie in the file"),
    "expanded-half": (saved({"a": torch.zeros(1, dtype=torch.half).expand(10**7, 10**6)}), "does not lie in"),
    "sparse": (sparse, "plain tensors"),
    "meta": (saved({"a": torch.zeros(10**7, 10**6, device="meta")}), "plain tensors"),
    "quantised": (quantised, "plain tensors"),
    "lying": (lying_storage, "does not lie in the file"),
    "views": (thousand_views, "would take"),
    "old tar": (old_tar, "before 1.6"),
    "old pickle": (
        lambda path: torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False),
        "before 1.6",
    ),
    "numpy": (saved({"a": np.zeros(3)}), "plain tensors"),
    "compressed": (compressed, "compressed"),
    "same name": (twice, "same name"),
    "memo": (memo, "damaged"),
}


@pytest.mark.parametrize("name", EVIL)
def test_what_a_checkpoint_asks_for_beyond_what_it_holds_is_refused(tmp_path: Path, name: str) -> None:
    make, words = EVIL[name]
    make(path := tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=words) as refused:
        checkpoints.load_state_dict(path)
    assert refused.value.problem.startswith(f"{path} could not be read as a checkpoint: ")
    assert "weights_only" not in str(refused.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_gigabyte_for_a_pickle_is_refused_in_little_memory(tmp_path: Path, compression: int) -> None:
    zeros_for_pickle(compression)(path := tmp_path / "zeros.pth")
    code = (
        "import resource, sys; from pathlib import Path; from vda.errors import WeightsError;"
        "from vda.models.declared import require_plain; resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2)\n"
        "try: require_plain(Path(sys.argv[1]))\n"
        "except WeightsError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert ("compressed" if compression else "list of tensors has 1074 MB") in done.stdout


def test_what_networks_save_is_read_as_ever(tmp_path: Path) -> None:
    state = {
        "weight": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3)),
        "turned": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).t(),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "flag": torch.tensor([True, False]),
    }
    state["tied"] = state["weight"]
    torch.save(state, path := tmp_path / "w.pth")
    require_plain(path)
    loaded = checkpoints.load_state_dict(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value.float() if value.is_floating_point() else value)
               for name, value in state.items())  # fmt: skip


def test_the_command_says_it_in_two_sentences(tmp_path: Path) -> None:
    EVIL["expanded"][0](path := tmp_path / "evil.pth")
    done = vda_here("weights", "verify", path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 2
    assert "Traceback" not in done.stderr


def test_what_is_fetched_is_held_against_its_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EVIL["expanded"][0](path := tmp_path / "fetched.pth")
    monkeypatch.setattr(hub, "fetch", lambda repository, filename, timeout_s: path)
    done = CliRunner().invoke(command, ["fetch", "vits"])
    assert done.exit_code == 2 and "does not lie in the file" in done.stderr
    assert hashlib.sha256(path.read_bytes()).hexdigest() not in done.stdout
