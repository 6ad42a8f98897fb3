"""Runs `spore-yolo calibrate`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["calibrate", *sys.argv[1:]])
