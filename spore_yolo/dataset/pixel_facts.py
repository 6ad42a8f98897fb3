"""Facts of pixels: what must be decoded to be known, once for each content and then from a cache.

The cache is a file of the user's, outside every dataset, in ``$SPORE_YOLO_CACHE``, else in
``$XDG_CACHE_HOME/spore-yolo``, else in ``~/.cache/spore-yolo``. It only saves time: where it cannot be read
or written, the images are decoded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from spore_yolo.dataset.checks.base import PixelFacts
from spore_yolo.dataset.markings import find_markings
from spore_yolo.files.cores import core_count
from spore_yolo.files.images import TooLargeImage, UnreadableImage, read_image, read_size

CACHE_VERSION = 1
"""Goes up when the facts of an image change: another hash, other markings."""

SEVERAL_AT_A_TIME = 100_000_000
"""Pixels; of larger images one is decoded at a time, so that they need not fit into memory together."""

LEAST_DEVIATION = 1.0
"""Levels by which a picture must vary for a hash to say anything; all blank pictures are alike."""

LOCK_SECONDS = 5.0
"""How long to wait for another process that writes to the cache."""

AT_ONCE = 200
"""Facts that go to the cache in one go: an interrupted run keeps what it has."""


def pixel_facts(paths: Mapping[str, Path], quiet: bool) -> dict[str, PixelFacts]:
    """Looks at the pixels of images, on all cores.

    Args:
        paths: The file of each image, by the image's name.
        quiet: No progress bar.

    Returns:
        Facts of each image, by its name, in the order of ``paths``. A file that cannot be opened has its reason as
        damage, and no hash.
    """
    facts: dict[str, PixelFacts] = {}
    # Threads do as well as processes here, since Pillow, OpenCV and hashlib let go of the interpreter while they work.
    with (
        closing(_Cache(cache_folder() / f"pixels-{CACHE_VERSION}.sqlite3")) as cache,
        ThreadPoolExecutor(max_workers=core_count()) as pool,
    ):
        try:
            looked = pool.map(lambda path: _look(path, cache), paths.values())
            bar = tqdm(looked, total=len(paths), desc="looking at pixels", unit="image", disable=quiet)
            for image, result in zip(paths, bar, strict=True):
                facts[image] = result.facts
                if result.new:
                    cache.add(result.facts)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return facts


class _Cache:
    """Facts by the hash of the file; several processes may use it at once, and trouble with it only costs time.

    Args:
        path: Its file. One that is damaged is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[PixelFacts] = []
        self._lock = threading.Lock()
        self._base = self._open()

    def get(self, sha256: str) -> PixelFacts | None:
        """The facts of a file; ``None`` where they are not known."""
        with self._lock:
            if self._base is None:
                return None
            try:
                row = self._base.execute("SELECT facts FROM facts WHERE sha256 = ?", (sha256,)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return None if row is None else _from_text(sha256, row[0])

    def add(self, facts: PixelFacts) -> None:
        """Keeps facts."""
        self._waiting.append(facts)
        if len(self._waiting) >= AT_ONCE:
            self._write()

    def close(self) -> None:
        """Writes what is left."""
        self._write()
        if self._base is not None:
            self._base.close()

    def _write(self) -> None:
        rows = [(facts.sha256, json.dumps(asdict(facts))) for facts in self._waiting]
        self._waiting = []
        with self._lock:
            if self._base is None or not rows:
                return
            try:
                with self._base:
                    self._base.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                self._give_up(error)

    def _open(self) -> sqlite3.Connection | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            base = sqlite3.connect(self._path, timeout=LOCK_SECONDS, check_same_thread=False)
        except (OSError, sqlite3.Error):
            return None
        try:
            base.execute("CREATE TABLE IF NOT EXISTS facts (sha256 TEXT PRIMARY KEY, facts TEXT NOT NULL)")
            base.execute("SELECT sha256, facts FROM facts LIMIT 1").fetchone()
        except sqlite3.Error as error:
            base.close()
            return self._open() if _is_damage(error) and self._remove() else None
        return base

    def _give_up(self, error: sqlite3.Error) -> None:
        """Goes on without a cache, rather than wait for it at every image; a damaged one makes way for a new one."""
        if self._base is not None:
            self._base.close()
            self._base = None
            if _is_damage(error):
                self._remove()

    def _remove(self) -> bool:
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _is_damage(error: sqlite3.Error) -> bool:
    # A locked, full or write-protected cache is an OperationalError, and whole.
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def _from_text(sha256: str, text: str) -> PixelFacts | None:
    try:
        content = json.loads(text)
        number = content["perceptual_hash"]
        markings = tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in content["markings"])
        return PixelFacts(sha256, str(content["damage"]), None if number is None else int(number), markings)
    except (ValueError, KeyError, TypeError):
        return None


def cache_folder() -> Path:
    """The folder of the user's cache; it need not exist."""
    named = os.environ.get("SPORE_YOLO_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "spore-yolo"


def facts_of(path: Path, sha256: str) -> PixelFacts:
    """Decodes one image and looks at it.

    Args:
        path: The image file.
        sha256: The hash of its bytes.

    Raises:
        TooLargeImage: It does not fit into memory; what it shows remains unknown.
    """
    try:
        pixels = read_image(path)
    except TooLargeImage:
        raise
    except UnreadableImage as error:
        return PixelFacts(sha256, damage=str(error).removeprefix(f"{path}: "))
    return PixelFacts(sha256, "", _perceptual_hash(pixels), tuple(find_markings(pixels)))


def _perceptual_hash(pixels: npt.NDArray[np.uint8]) -> int | None:
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (128, 128), interpolation=cv2.INTER_AREA)
    if grey.std() < LEAST_DEVIATION:
        return None
    return int(str(imagehash.phash(Image.fromarray(grey))), 16)


@dataclass(frozen=True)
class _Looked:
    """Facts, and whether they were not in the cache and may be kept there."""

    facts: PixelFacts
    new: bool


_large = threading.Lock()


def _look(path: Path, cache: _Cache) -> _Looked:
    try:
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return _Looked(PixelFacts("", damage=f"cannot be read ({error.strerror})"), new=False)
    known = cache.get(sha256)
    if known is not None:
        return _Looked(known, new=False)
    try:
        if _is_large(path):
            with _large:
                return _Looked(facts_of(path, sha256), new=True)
        return _Looked(facts_of(path, sha256), new=True)
    except TooLargeImage as error:
        # Another machine may have the memory.
        return _Looked(PixelFacts(sha256, damage=str(error).removeprefix(f"{path}: ")), new=False)


def _is_large(path: Path) -> bool:
    try:
        size = read_size(path)
    except UnreadableImage:
        return False
    return size.width * size.height > SEVERAL_AT_A_TIME
