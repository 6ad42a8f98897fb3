"""Runs `spore-yolo browse`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["browse", *sys.argv[1:]])
