"""Runs `spore-yolo train-detector`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["train-detector", *sys.argv[1:]])
