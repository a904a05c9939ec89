"""The stage that hands depth to other programs.

    request     what is asked, and how the depth's values become somebody's unit of length
    cameras     cameras.json, COLMAP, nerfstudio, .chan and USD, without depth
    frames      the frames of an export, one after another
    written     the files of an export, so that none of an earlier one stays behind
    clouds      ply: coloured point clouds
    depthfiles  depth beside pictures: 16-bit PNG, float TIFF, NumPy
    nerfstudio  a data set with transforms.json, depth and first points
    colmap      a COLMAP model with pictures, depth and first points; dn-splatter's folder
    splatting   inverse depth for the depth loss of Gaussian splatting
    tum         an RGB-D folder with association file
    recording   rerun: camera, picture, depth, cloud and tracks to look at in space and time
    stage       the export itself

Nothing here knows how depth was computed.
"""

from vda.exporting.depthfiles import DEPTH_KINDS
from vda.exporting.request import ExportSettings
from vda.exporting.stage import TARGETS, ExportReport, export

__all__ = ["DEPTH_KINDS", "TARGETS", "ExportReport", "ExportSettings", "export"]
