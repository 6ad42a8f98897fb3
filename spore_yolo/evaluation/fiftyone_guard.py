"""Runs the database of FiftyOne for as long as the program that started it lives; a process of its own.

``python fiftyone_guard.py FOLDER COMMAND ...`` runs the command until standard input closes, which also happens when
the other end is killed, then ends the command and removes the folder. It imports nothing of this package, so that it
starts at once and weighs little.
"""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
import sys


def guard(folder: str, command: list[str]) -> int:
    """Runs ``command`` until standard input closes or the command ends by itself.

    Args:
        folder: What the command works in; removed at the end, unless the command failed by itself: its log is there.
        command: The command and its arguments.

    Returns:
        The exit code of the command where it ended by itself, else 0.
    """
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if select.select([sys.stdin], [], [], 0.2)[0]:
                process.terminate()
                process.wait()
                shutil.rmtree(folder, ignore_errors=True)
                return 0
    return process.returncode or 1


if __name__ == "__main__":
    # Whoever started us ends us; the signals of a terminal are meant for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(guard(sys.argv[1], sys.argv[2:]))
