"""Images made from nothing, as directories that skopeo reads (`dir:`)."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path


def make(directory: Path, *, layers: int = 1, layer_bytes: int = 1024) -> Path:
    """An image of random layers, whose bytes therefore do not compress."""
    directory.mkdir(parents=True)
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    made = [_layer(directory, number, layer_bytes) for number in range(layers)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(directory, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor for descriptor, _ in made],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def _layer(directory: Path, number: int, size: int) -> tuple[dict[str, object], str]:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo(f"layer-{number}")
        member.size = size
        archive.addfile(member, io.BytesIO(os.urandom(size)))
    plain = tar.getvalue()
    packed = gzip.compress(plain, compresslevel=0, mtime=0)
    descriptor = _blob(directory, packed, "application/vnd.oci.image.layer.v1.tar+gzip")
    return descriptor, f"sha256:{hashlib.sha256(plain).hexdigest()}"


def _blob(directory: Path, content: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    (directory / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}
