"""Past one machine: a chunk becomes a task that an engine (SLURM, Ray) runs on any node that sees the scene.

    taskfiles  what tasks tell in the scene's files, and what a task is called
    lease      who computes a chunk, where locks reach no further than a machine
    task       one chunk on one device of this machine: ``vda task``

Nothing here schedules: engines do. What is done is what the scene's files say.
"""
