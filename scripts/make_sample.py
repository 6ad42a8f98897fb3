"""Runs `spore-yolo sample`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["sample", *sys.argv[1:]])
