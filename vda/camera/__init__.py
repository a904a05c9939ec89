"""Cameras: from a pixel and its depth to a point, and where the camera was.

    conventions     how pixels and axes are counted, here and by other programs
    intrinsics      focal length, principal point, lens: pixel and depth to a point, and back
    undistorting    the pinhole camera that sees the same, and its pictures and depth
    files           cameras in other programs' files
    choice          the camera that was asked for, fitted to the video
    posed           the camera of every frame: cameras.json
    colmapmodel     the same as a COLMAP model in text
    colmapbinary    whether a binary model is whole
    chan            the same for Nuke
    usd             the same as a USD stage
    poses           rigid motions between frames, from the files of data sets
    reconstruction  where somebody's images were taken, and what points they saw

Nothing here knows how depth is stored.
"""
