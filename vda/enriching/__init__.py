"""The stage that puts 3D positions on tracks.

    world      where the camera was, and points carried into the world
    motion     how a thing moved: from where it was seen to states at all times
    smoothing  every track's stretches smoothed, gaps bridged
    figure     tracks drawn on the frames, and from above
    settings   what is asked of it, and what came of it
    stage      the enrichment itself

Nothing here knows how depth was computed.
"""
