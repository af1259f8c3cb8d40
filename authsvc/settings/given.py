"""What `authsvc.toml` and the environment say, as trees of names, and where a setting comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Tree = Mapping[str, Any]


class Origin(StrEnum):
    """Where a setting comes from; each goes before those above it."""

    DEFAULT = "default"
    TABLE = "table"
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Given:
    """The settings of the file and of the environment, before anything is checked. Secrets are among them."""

    file: Tree = field(default_factory=dict, repr=False)
    environment: Tree = field(default_factory=dict, repr=False)

    def origin(self, name: str) -> Origin | None:
        """Where `name`, such as `token.lifetime` or `ldap.corp`, is set, be it in part; None for neither."""
        if _has(self.environment, name):
            return Origin.ENVIRONMENT
        return Origin.FILE if _has(self.file, name) else None

    def over(self, under: Tree) -> Tree:
        """A tree with the file and then the environment laid over it."""
        return _merged(_merged(under, self.file), self.environment)


def _has(tree: Tree, name: str) -> bool:
    """Whether a tree says something of that name. What is no section where one belongs says all that is below it."""
    branch: object = tree
    for part in name.split("."):
        if not isinstance(branch, Mapping):
            return True
        if part not in branch:
            return False
        branch = branch[part]
    return True


def _merged(under: Tree, over: Tree) -> Tree:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        is_section = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = _merged(below, value) if is_section and below is not None else value
    return merged
