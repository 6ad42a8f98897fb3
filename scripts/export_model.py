"""Runs `spore-yolo export-model`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["export-model", *sys.argv[1:]])
