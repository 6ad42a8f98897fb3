"""Runs `spore-yolo predict`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["predict", *sys.argv[1:]])
