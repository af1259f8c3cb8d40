"""Which names are allowed, and which project a repository belongs to.

Repository names follow distribution's reference grammar: `[host[:port]/]component(/component)*`, at most 255
characters; a project is named by one component.
"""

import re
import unicodedata

from authsvc.errors import Invalid, say

MAX_REPOSITORY_LENGTH = 255
MAX_NAME_LENGTH = 128

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_HOST = re.compile(r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.[A-Za-z0-9-]+)*(?::[0-9]{1,5})?")
_USER = re.compile(r"[^\W_]+(?:[._@+-]+[^\W_]+)*")


def is_component(text: str) -> bool:
    """Whether `text` is one path component of a repository name."""
    return len(text) <= MAX_REPOSITORY_LENGTH and _COMPONENT.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """Whether `text` is a repository name, possibly with a host in front (only Notary's names have one)."""
    if not text or len(text) > MAX_REPOSITORY_LENGTH:
        return False
    first, *rest = text.split("/")
    return (is_component(first) or (bool(rest) and _HOST.fullmatch(first) is not None)) and all(map(is_component, rest))


def project_of(repository: str, root_project: str) -> str:
    """The name of the project that a repository belongs to: its first component.

    A name without a slash belongs to `root_project`. So does nothing else: `library/x` belongs to `library`.
    """
    first, slash, _ = repository.partition("/")
    return first if slash else root_project


def canonical_user(text: str) -> str:
    """The one form of a user's name, whatever was typed: NFKC, lower case. It may still be no valid name."""
    return unicodedata.normalize("NFKC", text).casefold()


def is_user(text: str) -> bool:
    """Whether `text` is a canonical user name. `$` is not in it, so a robot's name never is one."""
    is_one = len(text) <= MAX_NAME_LENGTH and _USER.fullmatch(text) is not None
    return is_one and canonical_user(text) == text


def parse_user(text: str) -> str:
    """The canonical form of a user name.

    Raises:
        Invalid: the name has characters that are not allowed, or is empty or too long.
    """
    name = canonical_user(text)
    if not is_user(name):
        raise Invalid(
            {
                "name": say(
                    "a user name is 1 to %(most)s letters, digits and . _ @ + -, beginning and ending with a letter "
                    "or digit",
                    most=MAX_NAME_LENGTH,
                )
            }
        )
    return name


def parse_project(text: str) -> str:
    """A project's name, unchanged.

    Raises:
        Invalid: the name could not be the first component of a repository's name.
    """
    if not is_component(text) or len(text) > MAX_NAME_LENGTH:
        raise Invalid(
            {
                "project": say(
                    "a project name is 1 to %(most)s of a-z 0-9 with single . _ __ or - between them",
                    most=MAX_NAME_LENGTH,
                )
            }
        )
    return text
