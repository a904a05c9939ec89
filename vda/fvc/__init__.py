"""The data-set stage: thousands of videos, fake and real, brought to one size for training a classifier.

In goes a table of videos (``schema``), out come files of one size beside a table of what was made. What it stands
on comes with the ``fvc`` extra; a part of the package that is imported without it says so.

    reading      a table as people have it: any form, encoding and separator
    ids          what the files of a row are named by
    schema       the table of videos, checked where it enters
    paths        where the files that a table names are, and which files a video becomes
    selection    which rows this process scales
    request      what is asked of scaling
    rate         which frames are taken and when each is shown; how often costly work is worth doing
    geometry     where the pixels of a video are in its scaled video
    pictures     pictures through a geometry
    source       one row's files, opened
    trackmap     tracks through a geometry
    depthkind    with what the depth of a data set is made
    depthclip    scaled depth as files
    autoencoder  pictures through an autoencoder and back
    fallback     less memory for the same video
    clip         one video scaled
    makedepth    depth for the rows that have none
    alone        a folder that one process works on, on whatever machine
    checksums    what files hold, in a few digits
    freshness    whether what was made of a row is what would be made now
    row          one row, from its files to what came of it
    hands        who scales: this process, or several
    record       what came of one row, as a line
    writers      who writes which part of the records, and whether it is at work
    claims       which row a process has in hand
    ledger       what is done, for several processes at once, on one machine or many
    tables       the tables that others read
    joined       the tables, true to the metadata and to all records
    scale        the stage that scales a data set
    spread       the same with the scaling done on the nodes of a cluster
    slurmrows    ranges of rows submitted to SLURM, and waited for
    scalejobs    ranges of rows as tasks of SLURM or Ray
    foretold     what that would do: its start up to the first write, each row looked at
    promises     what a row promises of its files
    verify       whether the data set is whole, and its files what their rows say
    identity     every way of naming an original, brought to one
    likeness     videos that are equal, or alike in their pictures
    parts        folds, or train, val and test, and those that rows had before
    dealing      groups dealt out evenly
    balance      how even the parts are, and what is to be said of them
    leaks        what lies in more than one part
    folds        folds that never part what belongs together
    warp         where the pixels of a picture go in its augmentation
    kinds        the ten kinds of augmentation
    warptracks   tracks for an augmentation
    augmented    one augmentation of one video
    augment      the stage that makes augmentations
    scaledtable  the table of scaled videos, read for training
    clipchoice   which frames of a video make a clip
    clipreading  frames of scaled files, from anywhere in them
    dataset      clips of scaled videos as a PyTorch data set
    shards       scaled videos as WebDataset shards
    visionmodel  pictures to vectors, by a model of the Hugging Face hub
    embed        the stage that embeds frames

``ScaledVideos``, ``ClipChoice`` and ``collate_clips`` are had from here; torch is loaded when they are asked for.
"""

from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final

from vda.errors import UsageError

if TYPE_CHECKING:
    from vda.fvc.clipchoice import ClipChoice
    from vda.fvc.dataset import ScaledVideos, collate_clips

__all__ = ["ClipChoice", "ScaledVideos", "collate_clips"]

_PACKAGES = ("polars", "pandera", "sklearn")

if missing := [name for name in _PACKAGES if find_spec(name) is None]:
    raise UsageError(
        f"The data-set stage needs packages that are not installed: {', '.join(missing)}.",
        "Install them: pip install 'vda-toolkit[fvc]'.",
    )

_PUBLIC: Final = {
    "ClipChoice": "vda.fvc.clipchoice:ClipChoice",
    "ScaledVideos": "vda.fvc.dataset:ScaledVideos",
    "collate_clips": "vda.fvc.dataset:collate_clips",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve_name(_PUBLIC[name])
