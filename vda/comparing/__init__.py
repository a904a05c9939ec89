"""Two results of depth of one film against each other.

    results      both brought together: common frames, one quantity, one size
    differences  the fit of one to the other, and what they differ by
    steady       how steady each is by itself
    stage        the comparison itself
    pictures     difference maps, their bar of colours, the sheet of the worst frames
    words        a comparison in sentences and rows
    page         the comparison as a page

Neither is truth, and nothing here changes depth.
"""
