"""Datasets: the register, the grouped split, the YOLO layout, tiles; knows no torch."""
