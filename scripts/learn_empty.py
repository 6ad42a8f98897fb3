"""Runs `spore-yolo learn-empty`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["learn-empty", *sys.argv[1:]])
