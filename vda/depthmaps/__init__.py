"""Depth as values, as 16-bit codes, as files and as colours.

    codes     float depth and 16-bit codes, with the record that says how
    parts     what the parts of that record have to be
    files     depth in PNG and NumPy files, frame by frame
    exr       depth in OpenEXR files, as compositing programs have them
    source    depth read back from whatever holds it
    colours   depth as a picture
    doubtful  pixels on depth edges and in the sky

Nothing here knows where depth came from.
"""
