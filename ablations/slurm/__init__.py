"""Running a graph of stages on a SLURM cluster: submission, the task itself, status, and what to do about failures."""
