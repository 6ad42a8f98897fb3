"""Runs `spore-yolo import`; see `--help`."""

import sys

from spore_yolo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["import", *sys.argv[1:]]))
