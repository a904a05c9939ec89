"""Two views of a film from its depth: what 2D becomes 3D by.

    style      how far near and far lie apart, where the screen is, which views are made
    disparity  depth codes as shifts in pixels, with the soft edges of a network made sharp
    warping    a picture as another eye sees it
    pair       both views of a frame, with bars and subtitles where they were
    packing    two views as one picture: side by side, or red and cyan
    writing    the views of a film, made by a pool, as videos

Nothing here knows scenes, nor where depth comes from.
"""
