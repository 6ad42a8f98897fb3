"""Runs the training flow of one pair, as Airflow can: docs/pipeline-remote.md says how."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")  # as in pipeline.py
from spore_yolo.pipeline.training_line import TrainingLine

if __name__ == "__main__":
    TrainingLine()
