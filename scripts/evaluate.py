"""Runs `spore-yolo evaluate`; see `--help`."""

import sys

from spore_yolo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
