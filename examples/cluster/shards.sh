#!/bin/bash
#SBATCH --job-name=equibench
#SBATCH --array=1-4
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
# sbatch examples/cluster/shards.sh -m MODEL -s SUITE --out RUN: one part of a run for each task.
# Submit it again to go on after a time limit.
exec equibench run "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
