"""Runs `spore-yolo train-classifier`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["train-classifier", *sys.argv[1:]])
