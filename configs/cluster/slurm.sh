#!/bin/bash
# Train on two machines with four GPUs each, for as many days as it takes:
#   sbatch configs/cluster/slurm.sh configs/expression.yaml data.store=STORE output=RUN
# Five minutes before the time limit every process receives SIGUSR1: the run writes last.ckpt after its current step and
# requeues its job, which resumes with the very next batch. A preempted job (SIGTERM) is requeued by SLURM itself.
#SBATCH --job-name=expnet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

set -euo pipefail

if [[ "$*" != *output=* ]]; then
    echo "Give the run a folder that all machines can access: output=FOLDER." >&2
    exit 2
fi
export OMP_NUM_THREADS=1
# EXPNET_PYTHON names the Python that has expnet, if it is not the one on the PATH.
exec srun --kill-on-bad-exit=1 "${EXPNET_PYTHON:-python}" -m expnet.cli train configs/cluster/slurm.yaml "$@"
