"""What can go wrong, named for the fact.

Each carries one sentence for a person. Nothing here knows HTTP: `web/errors.py` maps these to statuses,
`cli` maps them to exit codes.
"""

from collections.abc import Mapping


class Sentence(str):
    """A sentence in English that remembers what it was made of, so that a page can say it in its own language."""

    __slots__ = ("template", "values")

    template: str
    values: Mapping[str, object]


def say(template: str, **values: object) -> Sentence:
    """A sentence for a person, such as `say("there is no user %(name)s", name=name)`.

    Babel finds its template by the name of this function, so it stands there as it is, letter by letter.
    """
    made = Sentence(template % values if values else template)
    made.template, made.values = template, values
    return made


class AppError(Exception):
    """Base of everything this project raises on purpose; `str()` is the sentence that is shown."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Invalid(AppError):
    """Input that breaks a rule.

    Args:
        fields: for each field that is wrong, a sentence that says why.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {reason}" for field, reason in fields.items()))
        self.fields = dict(fields)


class Unauthenticated(AppError):
    """The caller has not shown who they are."""


class Forbidden(AppError):
    """The caller is known, and no row of the rights table allows this."""


class NotFound(AppError):
    """The thing that was named does not exist."""


class AlreadyExists(AppError):
    """The name is taken."""


class Conflict(AppError):
    """The state of things does not allow this now."""


class TooMany(AppError):
    """Too many failed attempts.

    Args:
        retry_after: seconds after which another attempt is worth while.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(AppError):
    """A server that is needed does not answer: try again later.

    Args:
        reason: what is wrong with it, for administrators alone; "" where the sentence says so.
    """

    def __init__(self, sentence: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


class Misconfigured(AppError):
    """The settings, the data directory or the machine need a person's hand."""
