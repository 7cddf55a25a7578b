#!/bin/bash

# Parameters
#SBATCH --array=0-2,5%4
#SBATCH --cpus-per-task=1
#SBATCH --dependency=aftercorr:17
#SBATCH --gpus-per-node=1
#SBATCH --job-name=ablate.spec.stage.0123abcd
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=12288M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/shared/store/slurm/ablate.spec.stage.0123abcd/%A_%a_0_log.out
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=60

# setup
export PYTHONPATH=/shared/store/code/0123

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /shared/store/slurm/ablate.spec.stage.0123abcd/%A_%a_%t_log.out --cpus-per-task=1 python -u -m ablations.slurm.task /shared/store ablate.spec.stage.0123abcd


# teardown
code=$?
python -u -m ablations.slurm.ended /shared/store ablate.spec.stage.0123abcd $code
exit $code
