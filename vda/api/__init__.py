"""What ``import vda`` gives: the stages as functions whose keywords are the options of the commands.

    pipeline   the stages: a video planned, scenes computed, a scene merged
    todepth    videos to depth in one call, several at once
    engines    scenes handed to an engine that people run already: SLURM
    mergejobs  a merge in parts, as jobs of SLURM or tasks of Ray
    films      several films, each to its end while others are computed
    rehearsal  what depth, run and merge would do: their start up to the first write
    results    depth and scenes opened to be read
    keywords   the keywords of ``vda.depth``, once for its two signatures; settings made of keywords, and refusals
    stages     a video to depth: plan, run, merge, depth; the network
    asking     what a call would do, asked with its own arguments
    space      depth into space: enrich, export
    looking    a page to look at a scene: view

Everything is done elsewhere: settings are made of keywords here, and the stages are called.
"""
