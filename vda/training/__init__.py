"""Training of the built-in model: data from ``synth``, losses, the loop, and its judgement on held-out clips.

    clips     clips of ``synth``'s worlds as plain arrays
    cache     rendered clips on disk
    turnover  renderers that go on making clips, and how those that were seen make room
    augment   rendered frames made to look like anybody's camera
    recipe    the plan of a training run
    batches   batch number N as a pure function
    losses    what the model is asked for
    average   the running average of its weights
    loop      the training loop, resumed
    inmemory  a short clip's depth in memory
    judge     figures on held-out clips
    curves    the picture of a run

``python -m vda.training`` does it all.
"""
