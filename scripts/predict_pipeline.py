"""The prediction flow; see docs/prediction-pipeline.md."""

from spore_yolo.pipeline.prediction_flow import PredictionFlow

if __name__ == "__main__":
    PredictionFlow()
