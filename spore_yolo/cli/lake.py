"""``spore-yolo lake``: moves folders to and from the data lake, and names their versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spore_yolo.cli.options import Commands, add_command

if TYPE_CHECKING:
    from spore_yolo.files.lake import LakeVersion, RemotePath

EXAMPLES = """\
  spore-yolo lake push slides/ s3://farm/slides
  spore-yolo lake pull s3://farm/slides slides/
  spore-yolo lake pull s3://farm/runs/rust --expect 3f5c...
  spore-yolo lake version s3://farm/slides

Only what changed is moved, each file is checked by its hash, and what was cut off goes on where it stopped. A pushed
folder has a version, which names the contents of its files. Credentials, region and server are those that the AWS
client finds (AWS_PROFILE, AWS_ENDPOINT_URL, ~/.aws, roles); none are stored. Every other command takes s3:// addresses
as well, by way of a mirror on this machine (SPORE_YOLO_CACHE, by default ~/.cache/spore-yolo). More: docs/lake.md
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(commands, "lake", "Move folders to and from s3://bucket/prefix, and name versions.", EXAMPLES)
    parser.set_defaults(mirrors_as_paths=True)
    ways = parser.add_subparsers(title="what to do", metavar="push|pull|version", required=True)

    push = ways.add_parser("push", help="write what changed in a folder to the data lake")
    push.add_argument(
        "folder", nargs="+", metavar="DIR", help="the folder, or s3:// addresses of mirrors on this machine"
    )
    push.add_argument(
        "--delete",
        action="store_true",
        help="also delete objects that the folder does not hold; of a mirror, which may hold a part only, those that"
        " it held",
    )
    push.add_argument("--overwrite", action="store_true", help="replace objects that were changed in the bucket")
    push.set_defaults(run=run_push)

    pull = ways.add_parser("pull", help="bring a folder or file from the data lake")
    pull.add_argument("address", metavar="s3://BUCKET/PREFIX", help="what to bring")
    pull.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="where to (default: its mirror)")
    pull.add_argument("--expect", metavar="VERSION", help="the version that must lie here afterwards")
    pull.add_argument("--overwrite", action="store_true", help="replace files that were changed here")
    pull.add_argument("--unchecked", action="store_true", help="take what lies there, whatever its manifest says")
    pull.set_defaults(run=run_pull)

    version = ways.add_parser("version", help="name the version of a folder, here or in the data lake")
    version.add_argument("place", metavar="PATH", help="a folder, or s3://BUCKET/PREFIX")
    version.set_defaults(run=run_version)


def run_push(arguments: argparse.Namespace) -> None:
    """Pushes a folder, or mirrors, and prints the version of each."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.files.lake import Lake, RemotePath, is_remote, mirror_of

    places: list[str] = arguments.folder
    mirrors = all(is_remote(place) for place in places)
    if mirrors:
        addresses = [RemotePath.parse(place) for place in places]
        folders = [mirror_of(address) for address in addresses]
    elif len(places) == 2 and not is_remote(places[0]) and is_remote(places[1]):
        folders, addresses = [Path(places[0])], [RemotePath.parse(places[1])]
    else:
        raise UsageError(f"expected DIR s3://BUCKET/PREFIX, found {' '.join(places)}")
    delete: bool | Literal["known"] = "known" if mirrors and arguments.delete else arguments.delete
    lake = Lake()
    for folder, address in zip(folders, addresses, strict=True):
        if folder.is_file():
            lake.push_file(folder, address, overwrite=arguments.overwrite)
            print(f"{address}: pushed")
        else:
            _say(address, lake.push(folder, address, delete=delete, overwrite=arguments.overwrite))


def run_pull(arguments: argparse.Namespace) -> None:
    """Pulls and prints what lies here now."""
    from spore_yolo.files.lake import Lake, RemotePath

    lake, remote = Lake(), RemotePath.parse(arguments.address)
    place = lake.pull(
        remote,
        arguments.folder,
        expected=arguments.expect,
        overwrite=arguments.overwrite,
        unchecked=arguments.unchecked,
    )
    _say(place, lake.check(place, remote, arguments.expect) if arguments.expect else lake.version(place))


def run_version(arguments: argparse.Namespace) -> None:
    """Prints the version, how many files, and bytes."""
    from spore_yolo.files.lake import Lake, RemotePath, is_remote

    place = RemotePath.parse(arguments.place) if is_remote(arguments.place) else Path(arguments.place)
    _say(place, Lake().version(place))


def _say(place: Path | RemotePath, version: LakeVersion) -> None:
    print(f"{place}\nversion: {version.version}\nfiles: {len(version.files):,}\nbytes: {version.size:,}")
