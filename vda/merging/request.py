"""What a merge still has to make, held against the result that is there.

In: the folder of merged depth and what is asked for. Out: the outputs to make, and whether they come beside what
is there or in its place. Whatever can be refused is refused here, before a file is written or removed.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vda.depthmaps.codes import DepthRecord, Quantizer
from vda.depthmaps.colours import COLORMAP
from vda.depthmaps.exr import ExrStyle
from vda.depthmaps.files import is_whole
from vda.errors import InputError, SceneError, UsageError
from vda.files import DEPTH_RECORD_NAME, TEMPORARY_PREFIX
from vda.merging.meaning import MEANING_NAME, Colouring, Meaning
from vda.merging.outputs import FORMATS, IMAGE_FORMATS, VISUALIZATION, image_path, is_there, written_files
from vda.merging.settings import MergeResult, MergeSettings
from vda.stereo.style import STEREO_FILES, StereoStyle


@dataclass(frozen=True)
class Request:
    """The ``settings`` of what is to be made now; ``existing`` is the record of the result that it is added to.

    ``replaces``: depth is there, which goes once the new is whole. ``remarks`` say what is made unasked.
    """

    settings: MergeSettings
    existing: DepthRecord | None = None
    replaces: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def is_beside(self) -> bool:
        """Whether the new files must not lie between those that are there before they are whole."""
        return self.replaces or self.existing is not None


def requested(folder: Path, settings: MergeSettings, *, stale: bool = False) -> Request | MergeResult:
    """What is to be made below ``folder``, or the result where all of it is there and is to be kept.

    ``folder`` is ``settled``: what an earlier merge has finished is in its place. Nothing is written.

    Where ``overwrite`` is set and videos of two views are all that is asked for, these alone are made anew, of the
    depth that is there, unless that is ``stale``. A view without depth is none: 16-bit images come with it.
    Raises ``UsageError`` where the result is there and neither ``overwrite`` nor ``keep_finished`` is set, or was
    made with other settings; ``SceneError`` where there is depth of which nothing says that a merge wrote it.
    """
    path = folder / DEPTH_RECORD_NAME
    if settings.overwrite:
        views = None if stale else _views_anew(folder, settings)
        return views or _with_depth(_anew(folder, settings))
    if not path.is_file():
        refuse_foreign(folder)
        return _with_depth(Request(settings))
    existing = DepthRecord.read(path)
    meaning = Meaning.read(folder)
    _refuse_other_views(meaning, settings)
    _refuse_other_metres(folder, meaning, settings)
    formats = tuple(
        name for name in settings.formats if name not in existing.formats or not is_there(folder, name)
    )
    video = settings.create_video and not (folder / VISUALIZATION).is_file()
    if not formats and not video and not settings.keep_finished:
        raise UsageError(f"{path} is there already.", "Give --overwrite to replace it.")
    settings, remarks = _adopted(folder, existing, settings)
    if settings.create_video and not video:
        remarks += _as_it_looks(folder / VISUALIZATION, meaning, settings)
    if not formats and not video and (harmed := _harmed(folder, existing)):
        anew = _with_depth(_anew(folder, settings))
        said = f"{len(harmed)} images are damaged or absent, the first is {harmed[0].name}: all are made anew."
        return replace(anew, remarks=(said, *anew.remarks, *remarks))
    if not formats and not video:
        return MergeResult(folder, existing.frames, ("The depth was already merged.", *remarks))
    return Request(only(settings, formats, video), existing, remarks=tuple(remarks))


def _harmed(folder: Path, existing: DepthRecord) -> list[Path]:
    """The images of a finished merge that are not there, or not to their end."""
    names = [name for name in existing.formats if name in IMAGE_FORMATS]
    paths = (image_path(folder, name, index) for index in existing.indices for name in names)
    return [path for path in paths if not is_whole(path)]


def only(settings: MergeSettings, formats: tuple[str, ...], video: bool) -> MergeSettings:
    """``settings`` of these outputs alone; how EXR is written is no longer said where there is none."""
    style = settings.exr_style if "exr" in formats else ExrStyle()
    stereo = settings.stereo_style if set(formats) & STEREO_FILES.keys() else StereoStyle()
    beside = settings.side_by_side and video
    shown = {"create_video": video, "side_by_side": beside, **_fields_of(style), **asdict(stereo)}
    return replace(settings, formats=formats, **shown)


def _fields_of(style: ExrStyle) -> dict[str, Any]:
    return {
        "exr": style.base,
        "exr_layer": style.layer,
        "exr_type": style.type,
        "exr_compression": style.compression,
    }


def _views_anew(folder: Path, settings: MergeSettings) -> Request | None:
    """What is to be made where the depth can stay; None where it cannot, or more is asked for than views."""
    path = folder / DEPTH_RECORD_NAME
    if not path.is_file() or not set(settings.formats) <= STEREO_FILES.keys():
        return None
    existing = DepthRecord.read(path)
    try:
        settings, remarks = _adopted(folder, existing, settings)
    except UsageError:
        return None
    said = "The depth stays as it is; give --format png16 as well to make that anew."
    return Request(settings, existing, remarks=(said, *remarks))


def _with_depth(request: Request) -> Request:
    """``request`` with 16-bit images where nothing of it could be read back as depth."""
    settings = request.settings
    if not set(settings.formats) <= STEREO_FILES.keys():
        return request
    said = "The views are of 16-bit depth, which is written as well."
    settings = replace(settings, formats=("png16", *settings.formats))
    return replace(request, settings=settings, remarks=(said, *request.remarks))


def _anew(folder: Path, settings: MergeSettings) -> Request:
    """All that is there is made anew, asked for or not: with two meanings in one folder, one would be wrong."""
    meaning = Meaning.read(folder)
    if not (folder / DEPTH_RECORD_NAME).is_file() and (meaning is not None or not _depth_in(folder)):
        return Request(settings)
    more = tuple(name for name in _formats_in(folder) if name not in settings.formats)
    video = (folder / VISUALIZATION).is_file() and not settings.create_video
    as_it_was: dict[str, Any] = {"formats": (*settings.formats, *more)}
    if "exr" in more and meaning is not None and meaning.exr is not None:
        as_it_was |= _fields_of(meaning.exr)
    views = {} if meaning is None else meaning.stereo
    style = settings.stereo_style if settings.stereo_formats else next(iter(views.values()), StereoStyle())
    as_it_was |= asdict(style)
    if video:
        as_it_was |= {"create_video": True, **(asdict(meaning.look) if meaning and meaning.look else {})}
    remarks = [f"{name} was there and is made anew as well." for name in (*more, *([VISUALIZATION] * video))]
    others = [name for name in more if views.get(name, style) != style]
    remarks += [
        f"{name} had another parallax, convergence or choice of eyes: it gets that of the others."
        for name in others
    ]
    was = None if meaning is None else meaning.quantizer.get("coding", "linear")
    if settings.coding is None and was not in (None, "linear"):
        remarks.append(
            f"The depth there was in {was} codes and is made anew in linear ones, as --coding is not given."
        )
    return Request(replace(settings, **as_it_was), replaces=True, remarks=tuple(remarks))


def _formats_in(folder: Path) -> list[str]:
    """The formats of a result, as its record has them; none where that cannot be read."""
    try:
        return [name for name in DepthRecord.read(folder / DEPTH_RECORD_NAME).formats if name in FORMATS]
    except InputError:
        return []


def _depth_in(folder: Path) -> list[Path]:
    # What a killed writer leaves is no depth: a merge may die before it has said what it means.
    return [file for file in written_files(folder) if not file.name.startswith(TEMPORARY_PREFIX)]


def refuse_foreign(folder: Path) -> None:
    """Raise ``SceneError`` where ``folder`` holds depth of which nothing says that a merge wrote it."""
    if (folder / DEPTH_RECORD_NAME).is_file() or (folder / MEANING_NAME).is_file():
        return
    if depth := _depth_in(folder):
        raise SceneError(
            f"{folder} holds depth that no merge here has written, such as {depth[0].name}.",
            "Give another folder, or --overwrite to replace it.",
        )


def _adopted(folder: Path, existing: DepthRecord, settings: MergeSettings) -> tuple[MergeSettings, list[str]]:
    """``settings`` as the depth that is there was made, and what is to be said of that.

    Raises ``UsageError`` where something else was asked for by name.
    """
    remarks = []
    align = existing.settings.get("align", settings.align)
    if align != settings.align:
        if settings.align != "sequential":
            raise _other(folder, f"--align {align}")
        remarks.append(f"The depth there was made with --align {align}, and stays so.")
        settings = replace(settings, align=align)
    refine = existing.settings.get("refine", "none")
    if refine != settings.refine:
        if settings.refine != "none":
            raise _other(folder, f"--refine {refine}")
        remarks.append(f"The depth there was made with --refine {refine}, and stays so.")
        settings = replace(settings, refine=refine)
    meaning = Meaning.read(folder)
    asked = settings.exr_style
    if "exr" in existing.formats and asked != ExrStyle() and (meaning is None or asked != meaning.exr):
        raise _other(folder, "another kind of EXR")
    codes = settings.depth_scale
    if codes is not None and existing.quantizer != Quantizer.per_metre(codes):
        raise _other(folder, "other codes than --depth-scale asks for")
    coding = existing.quantizer.coding
    if settings.coding not in (None, coding):
        raise _other(folder, f"--coding {coding}")
    return replace(settings, coding=coding), remarks


def _refuse_other_views(meaning: Meaning | None, settings: MergeSettings) -> None:
    """Where a video of two views is there, made otherwise than is asked for by name, raise ``UsageError``."""
    asked, there = settings.stereo_style, {} if meaning is None else meaning.stereo
    others = [name for name in settings.stereo_formats if there.get(name, asked) != asked]
    if others and asked != StereoStyle():
        raise UsageError(
            f"{STEREO_FILES[others[0]]} was made with another parallax, convergence or choice of eyes.",
            f"Give --overwrite with --format {others[0]} alone to make it anew: the depth stays.",
        )


def _refuse_other_metres(folder: Path, meaning: Meaning | None, settings: MergeSettings) -> None:
    """Raise ``UsageError`` where the metres of the depth that is there are others than are asked for by name."""
    there = None if meaning is None else meaning.metres
    if settings.metres is not None and there is not None and list(settings.metres) != there:
        raise _other(folder, f"--metres {there[0]:g},{there[1]:g}")


def _as_it_looks(video: Path, meaning: Meaning | None, settings: MergeSettings) -> list[str]:
    """What is to be said of the ``video`` that is there and stays, where it looks otherwise than is asked for.

    Raises ``UsageError`` where it was asked for by name.
    """
    look = None if meaning is None else meaning.look
    asked = Colouring(settings.colormap, settings.side_by_side)
    if look is None or look == asked:
        return []
    made = f"--colormap {look.colormap}{' --side-by-side' if look.side_by_side else ''}"
    if asked != Colouring(COLORMAP, side_by_side=False):
        raise UsageError(
            f"{video} was made with {made}.",
            "Remove that file, and it is made of the depth that is there; or give --overwrite to make all anew.",
        )
    return [f"{video.name} was made with {made}, and stays so."]


def _other(folder: Path, made_with: str) -> UsageError:
    return UsageError(f"The depth in {folder} was made with {made_with}.", "Give --overwrite to make it anew.")
