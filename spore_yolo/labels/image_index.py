"""Finds the image that a label file means, whatever way the label file names it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath, PureWindowsPath

from spore_yolo.files.errors import Problem, SporeYoloError
from spore_yolo.files.images import ImageSize, UnreadableImage, find_images, read_size


class ImageIndex:
    """The images below one folder, by relative path, by name and by stem.

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
        self.root = root
        self.sizes: dict[str, ImageSize] = {}
        self.problems: list[Problem] = []
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_key: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for path in find_images(root):
            name = path.relative_to(root).as_posix()
            try:
                self.sizes[name] = read_size(path)
            except UnreadableImage as error:
                self.problems.append(Problem(path, None, str(error).removeprefix(f"{path}: ")))
            # An unreadable image is still known by name: its labels are not "for an unknown image".
            self._by_name[path.name].append(name)
            self._by_stem[path.stem].append(name)
            self._by_key[_key(PurePosixPath(name), "images")].append(name)
        if not self._by_name:
            raise SporeYoloError(f"{root}: expected images (JPEG, PNG, TIFF, BMP, WebP), found none")

    def find(self, name: str) -> str:
        """The image that a label file calls ``name``: a relative or foreign absolute path, or a bare file name.

        Raises:
            LookupError: There is no such image, or more than one; the message says which.
        """
        path = PurePosixPath(PureWindowsPath(name).as_posix() if "\\" in name else name)
        relative = path.as_posix().removeprefix("./")
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
            raise LookupError(f"label for an unknown image: no {name} below {self.root}")
        if len(candidates) > 1:
            raise LookupError(f"{name} may mean any of {', '.join(candidates)}; expected one image")
        return candidates[0]


def _key(path: PurePosixPath, folder: str) -> tuple[str, ...]:
    return (*(part for part in path.parent.parts if part not in (folder, ".")), path.stem)


def _shared_tail(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count
