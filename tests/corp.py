"""A directory that tests hold in their hands: people by their numbers. Real servers: tests/identity."""

from collections.abc import Collection

from authsvc.errors import Unavailable
from authsvc.identity import Identity, Verdict


class Corp:
    """Who is there, whose password is `good`.

    Args:
        people: the name of each number; None while the directory is away.
    """

    name = "corp"

    def __init__(self, people: dict[str, str] | None) -> None:
        self.people = people
        self.asked: list[int] = []

    def check(self, username: str, password: str) -> Identity | Verdict:
        found = self.find(username)
        if found is None:
            return Verdict.UNKNOWN
        return found if password == "good" else Verdict.REFUSED

    def find(self, username: str) -> Identity | None:
        return next((one for one in self.everybody() if one.name == username), None)

    def look_up(self, subjects: Collection[str]) -> dict[str, Identity]:
        self.asked.append(len(subjects))
        return {one.subject: one for one in self.everybody() if one.subject in subjects}

    def everybody(self) -> list[Identity]:
        if self.people is None:
            raise Unavailable("corp does not answer")
        return [Identity(f"corp:{number}", name) for number, name in self.people.items()]
