"""The data lake: folders and files at ``s3://bucket/prefix``, their mirror on disk, and their versions."""

from spore_yolo.files.lake.lake import Lake
from spore_yolo.files.lake.paths import RemotePath, is_remote, mirror_of, mirror_root, remote_of
from spore_yolo.files.lake.remote_file import RemoteFile
from spore_yolo.files.lake.version import LakeVersion

__all__ = ["Lake", "LakeVersion", "RemoteFile", "RemotePath", "is_remote", "mirror_of", "mirror_root", "remote_of"]
