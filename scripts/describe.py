"""Runs `spore-yolo describe`; see `--help`."""

import sys

from spore_yolo.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["describe", *sys.argv[1:]]))
