"""The prediction flow; see docs/prediction-pipeline.md."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")  # as in pipeline.py
from spore_yolo.pipeline.prediction_flow import PredictionFlow

if __name__ == "__main__":
    PredictionFlow()
