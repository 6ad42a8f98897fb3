"""Runs `spore-yolo predict`; see `--help`."""

import sys

from spore_yolo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
