"""The stage that hands depth to other programs.

    request     what is asked, and how the depth's values become somebody's unit of length
    frames      the frames of an export, one after another
    written     the files of an export, so that none of an earlier one stays behind
    clouds      ply: coloured point clouds
    nerfstudio  a data set with transforms.json and millimetre depth
    splatting   inverse depth for the depth loss of Gaussian splatting
    tum         an RGB-D folder with association file
    recording   rerun: camera, picture, depth, cloud and tracks to look at in space and time
    stage       the export itself

Nothing here knows how depth was computed.
"""

from vda.exporting.request import ExportSettings
from vda.exporting.stage import TARGETS, ExportReport, export

__all__ = ["TARGETS", "ExportReport", "ExportSettings", "export"]
