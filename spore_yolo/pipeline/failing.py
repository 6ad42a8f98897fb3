"""How a step fails: with one message for people, as the commands do, and not with a traceback."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from metaflow.exception import MetaflowException

from spore_yolo.files.errors import SporeYoloError


class StepFailed(MetaflowException):
    """A step that cannot do its work; Metaflow shows the message alone."""

    headline = "spore-yolo: error"


@contextmanager
def told_in_short() -> Iterator[None]:
    """Turns what people can mend into a :class:`StepFailed`; of anything else the traceback is printed.

    Metaflow's own printing is switched off where a failed step is caught, so that everything is said here, once.
    """
    try:
        yield
    except SporeYoloError as error:
        raise _told(str(error)) from None
    except OSError as error:
        message = _of_the_disk(error)
        if message is None:
            traceback.print_exc()
            raise
        raise _told(message) from None
    except MemoryError:
        raise _told(
            "memory ran out; give the step more (machines: STEP: memory_gb), or work in smaller batches"
        ) from None
    except MetaflowException:
        raise
    except Exception:
        traceback.print_exc()
        raise


def _told(message: str) -> StepFailed:
    sys.stdout.flush()
    print(f"spore-yolo: error: {message}", file=sys.stderr, flush=True)
    return StepFailed(message)


def _of_the_disk(error: OSError) -> str | None:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{where}the disk is full; make room (or give the step a larger disk) and go on with: resume. What earlier"
            " steps did is kept, nothing half done was left"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}no permission ({error.strerror}); choose another place or mend the permissions"
    return None
