"""Depth as values, as 16-bit codes, as files and as colours.

    codings   how codes lie over a range: evenly, or closer together where values are small
    codes     float depth and 16-bit codes, with the record that says how
    levels    codes of fewer bits, for what is looked at
    usage     how many codes the bulk of a film's values have
    parts     what the parts of that record have to be
    files     depth in PNG and NumPy files, frame by frame
    exr       depth in OpenEXR files, as compositing programs have them
    grey      grey video of depth, read at its full number of bits
    source    depth read back from whatever holds it
    stored    depth that a finished merge left, as the frames of another
    colours   depth as a picture
    doubtful  pixels on depth edges and in the sky

Nothing here knows where depth came from.
"""
