"""Experiment tracking: a journal in the run's folder first, MLflow and W&B as replays of it."""

from spore_yolo.experiments.tracking.settings import TrackingSettings
from spore_yolo.experiments.tracking.tracking import NO_TRACKING, Part, Tracking

__all__ = ["NO_TRACKING", "Part", "Tracking", "TrackingSettings"]
