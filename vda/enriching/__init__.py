"""The stage that puts 3D positions on tracks.

    smoothing  gaps bridged, positions smoothed
    figure     tracks drawn on the frames, and from above
    stage      the enrichment itself

Nothing here knows how depth was computed.
"""
