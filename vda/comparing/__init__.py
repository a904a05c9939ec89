"""Depth against something else: the truth, or another result of the same film.

    pairing      which frame of depth belongs to which of the truth
    framepairs   depth and truth frame by frame, from files
    truth        the evaluation against truth
    results      two results brought together: common frames, one quantity, one size
    differences  the fit of one to the other, and what they differ by
    steady       how steady each is by itself
    stage        the comparison of two results
    pictures     difference maps, their bar of colours, the sheet of the worst frames
    words        a comparison in sentences and rows
    page         the comparison as a page

Of two results neither is truth. Nothing here changes depth.
"""
