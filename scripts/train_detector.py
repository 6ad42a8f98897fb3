"""Runs `spore-yolo train-detector`; see `--help`."""

import sys

from spore_yolo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train-detector", *sys.argv[1:]]))
