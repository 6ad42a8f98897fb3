"""Runs `spore-yolo demo`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["demo", *sys.argv[1:]])
