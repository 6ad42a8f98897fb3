"""Runs `spore-yolo describe`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["describe", *sys.argv[1:]])
