"""Past one machine: a chunk becomes a task that an engine (SLURM, Ray) runs on any node that sees the scene.

    taskfiles  what tasks tell in the scene's files, and what a task is called
    lease      who computes a chunk, where locks reach no further than a machine
    proving    half precision tried on each kind of node, one precision for the scene
    task       one chunk on one device of this machine: ``vda task``
    clusteroptions  what is asked of SLURM for a scene, and what of it cannot be
    arrays          numbers as job arrays, as large and as many as SLURM takes
    sbatch          batch files, and the names of logs
    submitted       the jobs that were submitted, a file each, and what SLURM knows of them
    slurm           what is missing and in no live job is submitted
    following       waiting for the tasks, and what became of those that ended
    staging         a video on a node's own disk for as long as its tasks read it
    ray        chunks handed to Ray, and waited for

Nothing here schedules: engines do. What is done is what the scene's files say.
"""
