"""Runs `spore-yolo check`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["check", *sys.argv[1:]])
