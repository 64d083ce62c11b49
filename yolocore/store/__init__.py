"""Where results lie: digests that name them, and writes that a crash cannot tear."""

from yolocore.store.digest import bytes_digest, file_digest, files_below, json_digest, short, tree_digest
from yolocore.store.objects import ObjectStore, configured
from yolocore.store.publish import exclusive, make_parent, recover, replace_folder, storage_errors, write_atomic

__all__ = [
    "ObjectStore",
    "bytes_digest",
    "configured",
    "exclusive",
    "file_digest",
    "files_below",
    "json_digest",
    "make_parent",
    "recover",
    "replace_folder",
    "short",
    "storage_errors",
    "tree_digest",
    "write_atomic",
]
