"""Runs `spore-yolo evaluate`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["evaluate", *sys.argv[1:]])
