"""Bounding boxes that people drew: read them in any format, check them, match boxes to boxes, write them."""
