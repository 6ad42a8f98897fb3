"""Runs the training flow: `python scripts/pipeline.py run`; docs/pipeline.md says what it does."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars are for people who watch, and end up in the logs here
from spore_yolo.pipeline.training_flow import TrainingFlow

if __name__ == "__main__":
    TrainingFlow()
