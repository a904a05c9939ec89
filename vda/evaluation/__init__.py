"""How good a scene's depth is without any truth, and the pages that say so.

    steadiness  jumps between windows and flicker, without truth
    seams       where windows and chunks meet, and the jumps there
    figures     plots and pictures of an evaluation and of the report
    page        HTML that is one file, with its pictures inside
    drift       how far the scale wanders, by the frame that is seen again
    quality     a scene's depth in a handful of figures, without truth
    flickers    where depth flickers, and how much
    verdict     what the figures amount to, in words
    frames      frames of film and depth, and the visualization
    making      who computed it when, and what was asked and used
    index       a page that lists the reports of many scenes
    report      one page to judge a scene's depth by

Nothing here changes depth.
"""
