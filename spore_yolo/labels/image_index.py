"""Finds the image that a label file means, whatever way the label file names it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from spore_yolo.files.errors import Problem, SporeYoloError
from spore_yolo.files.images import ImageSize, UnreadableImage, find_images, read_size
from spore_yolo.files.names import is_utf8
from spore_yolo.files.progress import progress
from spore_yolo.labels.table import UNKNOWN_SIZE

MAX_NAME = 255
"""Bytes of the longest name of a file on common disks."""

MAX_DEPTH = 100
"""Most folders within each other that a label file may name."""

MAX_LISTED = 10
"""Most images that a message lists."""


class KnownImages:
    """Images by relative path, by name and by stem.

    Args:
        sizes: Size of each image, by its path with ``/`` between the parts.
        root: The folder of the images; where they are not at hand, the folder of the labels.
        place: Where the images are, for messages: ``below slides/``.

    Attributes:
        root: The folder.
        sizes: Size of each image; images that cannot be read are known by name and have none.
    """

    def __init__(self, sizes: Mapping[str, ImageSize], root: Path, place: str) -> None:
        self.root = root
        self.sizes: dict[str, ImageSize] = {}
        self._place = place
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_key: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, size in sizes.items():
            self._add(name, size)

    def _add(self, name: str, size: ImageSize | None) -> None:
        path = PurePosixPath(name)
        if size is not None:
            self.sizes[name] = size
        self._by_name[path.name].append(name)
        self._by_stem[path.stem].append(name)
        self._by_key[_key(path, "images")].append(name)

    def find(self, name: str) -> str:
        """The image that a label file calls ``name``: a relative or foreign absolute path, or a bare file name.

        Raises:
            LookupError: There is no such image, or more than one; the message says which.
        """
        path = _posix(name)
        relative = path.as_posix()
        candidates = self._by_name.get(path.name, [])
        if relative in candidates:
            return relative
        if len(candidates) > 1:
            # Take the image that shares the longest tail of folders, if only one does.
            shared = [_shared_tail(path.parts, PurePosixPath(candidate).parts) for candidate in candidates]
            best = max(shared)
            candidates = [c for c, s in zip(candidates, shared, strict=True) if s == best]
        return self._only(candidates, name)

    def has_stem(self, stem: str) -> bool:
        """Whether an image is called ``stem``, whatever its folder and suffix."""
        return stem in self._by_stem

    def find_for_label(self, label: PurePosixPath) -> str:
        """The image of a label file that has the image's stem, as in YOLO and Pascal VOC.

        ``train/labels/a.txt`` belongs to ``train/images/a.jpg``, ``labels/train/a.txt`` to ``images/train/a.jpg``.

        Args:
            label: Path of the label file below the labels folder.

        Raises:
            LookupError: There is no such image, or more than one.
        """
        key = _key(label, "labels")
        candidates = self._by_key.get(key, [])
        if not candidates:
            # The stem alone tells only where one side has no folders: day_1/a.txt is not the label of day_2/a.jpg.
            same_stem = self._by_stem.get(label.stem, [])
            candidates = [c for c in same_stem if len(key) == 1 or len(_key(PurePosixPath(c), "images")) == 1]
        return self._only(candidates, f"{label.stem}.*")

    def _only(self, candidates: list[str], name: str) -> str:
        if not candidates:
            raise LookupError(f"unknown image: no {name:.200} {self._place}")
        if len(candidates) > 1:
            listed = ", ".join(candidates[:MAX_LISTED]) + (", …" if len(candidates) > MAX_LISTED else "")
            raise LookupError(f"{name:.200} may mean any of {listed}; expected one image")
        return candidates[0]


class ImageIndex(KnownImages):
    """The images below one folder.

    Attributes:
        root: The folder.
        sizes: Size of each readable image, by its path below ``root`` with ``/`` between the parts, sorted.
        problems: Images whose header cannot be read.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SporeYoloError(
                f"{root}: expected a folder with images, found {'a file' if root.exists() else 'nothing'}"
            )
        super().__init__({}, root, f"below {root}")
        self.problems: list[Problem] = []
        paths = find_images(root)
        for path in progress(paths, len(paths), "reading image sizes", "image"):
            name = path.relative_to(root).as_posix()
            if not is_utf8(name):
                shown = name.encode("utf-8", "replace").decode()
                self.problems.append(Problem(root / shown, None, "the name of this file is not UTF-8; rename it"))
                continue
            try:
                self._add(name, read_size(path))
            except UnreadableImage as error:
                self.problems.append(Problem(path, None, str(error).removeprefix(f"{path}: ")))
                # An unreadable image is still known by name: its labels are not for an unknown image.
                self._add(name, None)
        if not self._by_name:
            raise SporeYoloError(f"{root}: expected images (JPEG, PNG, TIFF, BMP, WebP), found none")


class NamedImages(KnownImages):
    """The images that labels name, where the images themselves are not at hand: every name is an image.

    Args:
        labels: The label file, or the folder of label files.
    """

    def __init__(self, labels: Path) -> None:
        super().__init__({}, labels if labels.is_dir() else labels.parent, f"in {labels}")

    def find(self, name: str) -> str:
        """The image called ``name``, of unknown size.

        Raises:
            LookupError: The name is empty, leads out of the folder of the images, or no file can have it.
        """
        path = _posix(name)
        if not path.name or ".." in path.parts or not _may_be_a_file(path):
            raise LookupError(f"expected the path of an image below one folder, found {name!r:.80}")
        image = path.relative_to(path.anchor).as_posix()
        if image not in self.sizes:
            self._add(image, UNKNOWN_SIZE)
        return image

    def find_for_label(self, label: PurePosixPath) -> str:
        """Always fails: the name of a label file does not tell the suffix of its image.

        Raises:
            LookupError: The image's name is not known.
        """
        raise LookupError(f"the file does not say the name of its image; give the folder that holds {label.stem}.*")


def _may_be_a_file(path: PurePosixPath) -> bool:
    """Whether a file can have that path: it is text, and neither too long nor too deep."""
    if not is_utf8(path.as_posix()) or "\0" in path.as_posix() or len(path.parts) > MAX_DEPTH:
        return False
    return all(len(part.encode()) <= MAX_NAME for part in path.parts)


def _posix(name: str) -> PurePosixPath:
    return PurePosixPath(PureWindowsPath(name).as_posix() if "\\" in name else name)


def _key(path: PurePosixPath, folder: str) -> tuple[str, ...]:
    return (*(part for part in path.parent.parts if part not in (folder, ".")), path.stem)


def _shared_tail(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count
