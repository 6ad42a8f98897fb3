"""Runs `spore-yolo export`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["export", *sys.argv[1:]])
