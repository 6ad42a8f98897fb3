"""Backends: what runs a network, behind one small interface."""

from __future__ import annotations

from spore_yolo.inference.backends.packages import BACKENDS

__all__ = ["BACKENDS"]
