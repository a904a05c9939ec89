"""The Hugging Face hub as a place where files are: in its cache on this machine, or fetched from it.

In go a repository and a file name; out come paths. ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_HOME`` and the
proxies are huggingface_hub's business, as are resuming, locking and the progress bar. This file does not know
what models there are nor what is in the files.
"""

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vda.errors import WeightsError
from vda.files import NO_ROOM, storage_errors

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """What the hub says of a file: its bytes and its sha256, each None where it does not say."""

    size_bytes: int | None
    sha256: str | None


def cached(repository: str, filename: str) -> Path | None:
    """Return where the hub's cache holds the file, or None; nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, filename)
    return Path(path) if isinstance(path, str) else None


def announced_sha256(path: Path) -> str | None:
    """Return the sha256 that the hub announced for a file in its cache, or None where none is known.

    The cache's snapshots are links to blobs that are named by the hub's entity tag, which for large files is the
    sha256. Only this one link is followed: a blob may itself be a link into a store with names of another kind.
    """
    if not path.is_symlink():
        return None
    blob = path.readlink()
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def fetch(repository: str, filename: str, timeout_s: float) -> Path:
    """Download the file into the hub's cache and return its place there; an interrupted download is resumed.

    ``timeout_s`` bounds the wait for the hub's first answer, not the download. Raises ``WeightsError`` where the
    hub cannot be reached, does not have the file or breaks off, ``StorageError`` where the disk is full.
    """
    from huggingface_hub import hf_hub_download

    ask(repository, filename, timeout_s)
    try:
        return Path(hf_hub_download(repository, filename))
    # What may come out of the hub's client (its own errors, its HTTP library's, OSError) changes with its version.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            with storage_errors(Path(filename)):
                raise
        raise WeightsError(
            f"{filename} could not be fetched from {repository}: {_first_line(error)}.",
            "Run the same command again: what had arrived is kept.",
        ) from error


def ask(repository: str, filename: str, timeout_s: float) -> HubFile:
    """Ask the hub about the file, and raise ``WeightsError`` where no good answer comes within ``timeout_s``.

    Nothing is fetched or written. Asked in a thread, because looking up a name without a network cannot be
    interrupted and may take far longer.
    """
    outcome: list[HubFile | Exception] = []
    thread = threading.Thread(
        target=lambda: outcome.append(_ask(repository, filename, timeout_s)), name="hub-probe", daemon=True
    )
    thread.start()
    thread.join(timeout_s)
    answer = outcome[0] if outcome else TimeoutError(f"no answer within {timeout_s:g} s")
    if isinstance(answer, Exception):
        raise WeightsError(
            f"{filename} could not be fetched from {repository}: {_first_line(answer)}.",
            f"{_remedy(answer)}, or give a file with --weights or VDA_WEIGHTS.",
        ) from answer
    return answer


def _remedy(error: Exception) -> str:
    """What helps against an answer that is no good one, to be followed by "or"."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, OfflineModeIsEnabled):
        return "Unset HF_HUB_OFFLINE"
    if status in (401, 403):
        return "Log in ('hf auth login', or a token in HF_TOKEN) with an account that may read it"
    if status == 404:
        return "See whether HF_ENDPOINT names a mirror that lacks the file"
    if status == 429:
        return "Wait some minutes, for the hub was asked too often from here"
    return "Try again later, for the fault is the hub's" if status >= 500 else "Connect to the network"


def _ask(repository: str, filename: str, timeout_s: float) -> HubFile | Exception:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        told = get_hf_file_metadata(hf_hub_url(repository, filename), timeout=timeout_s)
    except Exception as error:
        return error
    is_hash = told.etag is not None and _SHA256.fullmatch(told.etag) is not None
    return HubFile(told.size, told.etag if is_hash else None)


def _first_line(error: BaseException) -> str:
    lines: list[Any] = str(error).strip().splitlines() or [type(error).__name__]
    return str(lines[0]).rstrip(".: ")
