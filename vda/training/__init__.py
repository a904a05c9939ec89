"""Training of the built-in model: data from ``synth``, losses, the loop, and its judgement on held-out clips."""
