"""Runs `spore-yolo pretrain`; see `--help`."""

import sys

from spore_yolo.cli.main import entry

if __name__ == "__main__":
    entry(["pretrain", *sys.argv[1:]])
