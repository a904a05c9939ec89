"""A camera that moves, as a USD stage for Blender, Houdini, Nuke and others: ``cameras.usda``.

Written with usd-core. USD's camera looks along -z with y up; its frustum is given by a focal length and by the
aperture's size and offset, in one unit of length that cancels out. Time codes are frame indices. USD has no lens.
"""

from collections.abc import Sequence
from typing import Any

from vda.camera.conventions import centre_to_corner, to_opengl
from vda.camera.intrinsics import Intrinsics
from vda.camera.posed import PosedCamera, different
from vda.errors import UsageError

PRIM = "/World/Camera"
# Of 35 mm film, so that the numbers look familiar; only their ratio to the focal length means anything.
_APERTURE_MM = 36.0
# Surfaces nearer or farther would be cut off; the unit is the poses', which may be any.
_CLIPPING = (1e-3, 1e6)


def usd_text(cameras: Sequence[PosedCamera], fps: float) -> str:
    """The stage as text; all cameras need a pose. Raises ``UsageError`` without usd-core."""
    try:
        from pxr import Gf, Usd, UsdGeom
    except ImportError as error:
        raise UsageError("USD needs usd-core.", "Install it: pip install 'vda-toolkit[usd]'.") from error
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    # The poses' unit is taken for metres: USD's own fallback is centimetres.
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(min(camera.frame for camera in cameras))
    stage.SetEndTimeCode(max(camera.frame for camera in cameras))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/World").GetPrim())
    prim = UsdGeom.Camera.Define(stage, PRIM)
    prim.CreateClippingRangeAttr(Gf.Vec2f(*_CLIPPING))
    turn = prim.AddTransformOp()
    several = len(different(cameras)) > 1
    for camera in cameras:
        assert camera.camera_to_world is not None
        # Gf multiplies rows from the left, so its matrix is the transpose.
        turn.Set(Gf.Matrix4d(*to_opengl(camera.camera_to_world).T.ravel().tolist()), camera.frame)
        if several:
            _frustum(prim, camera.intrinsics, Usd.TimeCode(camera.frame))
    if not several:
        _frustum(prim, cameras[0].intrinsics, Usd.TimeCode.Default())
    return str(stage.GetRootLayer().ExportToString())


def _frustum(prim: Any, camera: Intrinsics, time: Any) -> None:
    focal = _APERTURE_MM * camera.fx / camera.width
    per_x, per_y = focal / camera.fx, focal / camera.fy
    prim.CreateFocalLengthAttr().Set(focal, time)
    prim.CreateHorizontalApertureAttr().Set(camera.width * per_x, time)
    prim.CreateVerticalApertureAttr().Set(camera.height * per_y, time)
    prim.CreateHorizontalApertureOffsetAttr().Set((camera.width / 2 - centre_to_corner(camera.cx)) * per_x, time)
    prim.CreateVerticalApertureOffsetAttr().Set((centre_to_corner(camera.cy) - camera.height / 2) * per_y, time)
