#!/bin/bash

# Parameters
#SBATCH --account=research
#SBATCH --array=0-499%16
#SBATCH --constraint='h100&nvlink'
#SBATCH --cpus-per-task=12
#SBATCH --dependency=afterok:12_0:13
#SBATCH --exclude='node[7,9]'
#SBATCH --gpus-per-node=8
#SBATCH --job-name=ablate.spec.stage.0123abcd
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=922112M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --open-mode=append
#SBATCH --output=/shared/store/slurm/ablate.spec.stage.0123abcd/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --signal=USR2@300
#SBATCH --time=1440

# setup
export PYTHONPATH=/shared/store/code/0123
module load cuda/12.4
source /opt/env/bin/activate

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /shared/store/slurm/ablate.spec.stage.0123abcd/%A_%a_%t_log.out --cpus-per-task=12 singularity exec lab.sif python -u -m ablations.slurm.task /shared/store ablate.spec.stage.0123abcd


# teardown
code=$?
singularity exec lab.sif python -u -m ablations.slurm.ended /shared/store ablate.spec.stage.0123abcd $code
exit $code
