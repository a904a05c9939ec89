"""Past one machine: a chunk becomes a task that an engine (SLURM, Ray) runs on any node that sees the scene.

Nothing here schedules: engines do. What is done is what the scene's files say.
"""
