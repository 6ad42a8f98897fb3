"""Runs `spore-yolo compare`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["compare", *sys.argv[1:]])
