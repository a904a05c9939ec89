"""Consistent depth for long videos on every GPU a person owns, and the depth into 3D.

    plan         split a video into chunks: a scene
    run          compute a scene's raw windows on the devices
    merge        join them into one depth image per frame
    depth        all three in one call
    dry_run      what one of these would do: how long, how much disk, in place of what
    enrich       3D positions on somebody's tracks
    export       depth for other programs
    view         a page to look at a scene
    open_depth   read the depth of a video back, whatever holds it
    open_scene   look at a scene: plan, status, depth
    load_model   the network, for tensors of your own
    VdaError     what all of them raise: what is wrong, and what to do

The keywords are the options of the commands with the same names. Nothing is loaded before a name is used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "VdaError",
    "__version__",
    "depth",
    "dry_run",
    "enrich",
    "export",
    "load_model",
    "merge",
    "open_depth",
    "open_scene",
    "plan",
    "run",
    "view",
]

if TYPE_CHECKING:
    from vda.api.asking import dry_run
    from vda.api.looking import view
    from vda.api.results import open_depth, open_scene
    from vda.api.space import enrich, export
    from vda.api.stages import depth, load_model, merge, plan, run
    from vda.errors import VdaError
else:
    _HOMES = {
        **dict.fromkeys(("plan", "run", "merge", "depth", "load_model"), "vda.api.stages"),
        **dict.fromkeys(("enrich", "export"), "vda.api.space"),
        **dict.fromkeys(("open_depth", "open_scene"), "vda.api.results"),
        "dry_run": "vda.api.asking",
        "view": "vda.api.looking",
        "VdaError": "vda.errors",
    }

    def __getattr__(name: str) -> object:
        """Load a public name when it is used (PEP 562)."""
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module 'vda' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted(__all__)
