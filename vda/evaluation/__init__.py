"""How good depth is: against truth, and without any.

    pairing     which frame of depth belongs to which of the truth
    steadiness  jumps between windows and flicker, without truth
    seams       where windows and chunks meet, and the jumps there
    figures     plots and pictures of an evaluation and of the report
    page        HTML that is one file, with its pictures inside
    drift       how far the scale wanders, by the frame that is seen again
    quality     a scene's depth in a handful of figures, without truth
    gate        conditions on these figures
    making      who computed it when, and what was asked and used
    report      one page to judge a scene's depth by
    framepairs  depth and truth frame by frame, from files
    stage       the evaluation against truth itself

Nothing here changes depth.
"""
