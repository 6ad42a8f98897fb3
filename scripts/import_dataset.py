"""Runs `spore-yolo import`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["import", *sys.argv[1:]])
