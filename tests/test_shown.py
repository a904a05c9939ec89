"""Names that would move a cursor, change colours or end a line reach no terminal; commands to paste are quoted."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from clips import make_clip
from depth_runs import vda_here

from vda.cli import main
from vda.errors import InputError
from vda.shown import counted, printable, quoted

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202egpj"
FOLDERS = [
    b"plain",
    b"two words",
    b"it's",
    b"\x1b[2Jclear",
    b"line\nend",
    b"caf\xe9",
    "café".encode(),
    b"$(id) `id`;&",
]


def is_fit(text: str) -> bool:
    return not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in text)


def test_what_a_terminal_obeys_is_spelled() -> None:
    assert printable(ESCAPES) == r"\x1b[31mred\x1b]0;title\x07\x9b2J\u202egpj"
    assert printable(os.fsdecode(b"caf\xe9 \n")) == "caf\\xe9 \n"
    assert printable("a\nb", one_line=True) == r"a\nb"
    assert printable("Zoë's naïve 日本語 🎬.mp4") == "Zoë's naïve 日本語 🎬.mp4"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_quoted_name_is_the_files_for_a_shell(name: bytes) -> None:
    said = quoted(os.fsdecode(name))
    assert is_fit(said) and "\n" not in said
    heard = subprocess.run(["bash", "-c", f"printf %s {said}"], capture_output=True, check=True)
    assert heard.stdout == name


@pytest.mark.parametrize("name", FOLDERS[2:])
def test_names_of_any_bytes_are_split_and_looked_at(name: bytes, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    video, scene = make_clip(tmp_path / "v.mp4", range(8)).rename(folder / "v.mp4"), folder / "scene"
    for command in (
        ["split", str(video), "--scene", str(scene), "--devices", "cpu"],
        ["status", str(scene)],
        ["status", str(scene), "--json"],
        ["monitor", str(scene), "--once"],
        ["report", str(scene)],
        ["merge", str(scene)],
        ["status", str(folder / "none")],
        ["status", str(scene), str(folder)],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
        assert is_fit(done.stdout) and is_fit(done.stderr), command
        assert not any(line.startswith("end") for line in (done.stdout + done.stderr).splitlines()), command
        # As written, not only as a lenient terminal would have it.
        done.stdout_bytes.decode("utf-8"), done.stderr_bytes.decode("utf-8")


def test_the_advice_can_be_pasted(tmp_path: Path) -> None:
    video, scene = make_clip(tmp_path / "v.mp4", range(8)), tmp_path / "my film's; scene"
    assert not vda_here("split", video, "--scene", scene, "--devices", "cpu", "-q").returncode
    advice = vda_here("report", scene).stderr
    assert f"'vda merge {quoted(scene)}'" in advice


def test_an_error_can_be_written_whatever_it_tells() -> None:
    """Half of a pair of surrogates is text of JSON and of no encoding; a byte of a name stays that byte."""
    error = InputError('There is no model "\ud800".', os.fsdecode(b"Look into caf\xe9."))
    assert str(error).encode(errors="surrogateescape") == b'There is no model "\\ud800". Look into caf\xe9.'


@pytest.mark.parametrize(("number", "words"), [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks")])
def test_one_thing_is_not_several(number: int, words: str) -> None:
    assert counted(number, "chunk") == words
