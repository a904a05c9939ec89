"""Windows and chunks to one depth.

    align        scale and shift of a window on the ones before, and blend weights
    overlaps     samples of what two pieces share
    joint        scale and shift of all pieces together
    ties         what two neighbouring pieces share, and whether it says their scales
    smooth       what scale and shift leave between pieces, and smooth terms to mend that
    chunkfits    scale and shift of all pieces by the ties that hold
    sequence     raw windows of one sequence to its depth, frame by frame
    framed       depth of a part of the pictures, put to its place
    pieces       independent chunks to one depth: fitted together, blended
    chunkdepths  depth of chunks that other programs made
    remarks      what a person should know of how all that fits
    scenedepth   a whole scene's depth, frame by frame

Nothing here knows what depth is written as.
"""
