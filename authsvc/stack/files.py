"""Files that are written whole or not at all, and directories."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path


def create(path: Path, data: bytes, mode: int) -> bool:
    """Write a new file; False, and nothing changed, when something of that name is there already."""
    if os.path.lexists(path):
        return False
    temporary = _write_beside(path, data, mode)
    try:
        os.link(temporary, path)  # unlike a rename, a link never overwrites
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_directory(path.parent)
    return True


def replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file over whatever is there; a reader sees the old content or the new, never a part."""
    temporary = _write_beside(path, data, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise
    _sync_directory(path.parent)


def make_directory(path: Path, mode: int) -> bool:
    """Make a directory with exactly this mode, and its parents; False when it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode)
    except FileExistsError:
        if path.is_dir():
            return False
        raise
    path.chmod(mode)  # the umask has narrowed it
    return True


def empty_directory(path: Path, mode: int) -> None:
    """Make a directory anew, whatever was in it. It raises where somebody else's stands in the way, so it is ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
    path.mkdir(mode)


def _write_beside(path: Path, data: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink()
        raise
    return temporary


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
