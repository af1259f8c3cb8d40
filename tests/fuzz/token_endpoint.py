"""`make fuzz`: atheris on everything a client can send to the token endpoint.

Looks for an answer of 5xx, and for a token that the model of rights below would not give. The model is written from the
documented roles, not from the code's tables.
"""

import base64
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["authsvc"]):
    from authsvc import services, settings
    from authsvc.app import create_app
    from authsvc.core import access_tokens, members, projects, robots, setup, users
    from authsvc.core.rights import system
    from authsvc.identity import passwords
    from authsvc.stack import home

import jwt

PASSWORD = "a-fuzzed-secret-1"
MODEL = {
    "": {"open": {"pull"}},
    "alice": {"acme": {"pull", "push", "delete"}, "open": {"pull"}},
    "bob": {"acme": {"pull", "push"}, "open": {"pull"}},
    "charlie": {"open": {"pull"}},
    "robot$acme+ci": {"acme": {"pull", "push"}, "open": {"pull"}},
    "admin": {name: {"pull", "push", "delete"} for name in ("acme", "open", "library")},
}
"""For each caller and project, the actions that the documented roles give there."""

FIELDS = ("scope", "service", "account", "grant_type", "username", "password", "refresh_token")


ENVIRONMENT = {
    "AUTHSVC_ADMIN_PASSWORD": PASSWORD,
    "AUTHSVC_TOKEN__REFRESH_TOKENS": "true",
    "AUTHSVC_THROTTLE__ACCOUNT_FAILURES": "100",
    "AUTHSVC_THROTTLE__ACCOUNT_HOUR": "10000",
    "AUTHSVC_THROTTLE__SOURCE_FAILURES": "100000",
    "AUTHSVC_LOG__LEVEL": "error",
}


KNOWN = [
    "repository:", "registry:catalog:*", "acme/app", "open/app", "library/app", "plain", ":pull", ":push,pull", ":*",
    ":delete", " ", "(plugin)", "..", "//", "%2f", "\x00", "\r\n", "é", "a" * 300, "alice", "bob", "admin", "charlie",
    "robot$acme+ci", PASSWORD, "asp_", "asf_", "authsvc", "true", "password", "refresh_token", ":", "",
]  # fmt: skip


def build(directory: Path):
    # Cheap hashes: it is not Argon2 that is tried here.
    passwords.ITERATIONS, passwords.MEMORY_KIB = 1, 8
    passwords._NOBODY = passwords.hash_password("nobody")
    loaded = settings.load({"AUTHSVC_HOME": str(directory), **ENVIRONMENT})
    now = int(time.time())
    home.make(loaded, now)
    setup.prepare(loaded, now)
    built = services.build(loaded)
    with built.transaction() as session:
        actor = system("fuzz")
        for name in ("alice", "bob", "charlie"):
            users.add(session, actor, users.AddUser(name=name, password=PASSWORD), now)
        projects.add(session, actor, projects.AddProject(name="acme"), now)
        projects.add(session, actor, projects.AddProject(name="open", public=True), now)
        for name, role in {"alice": "maintainer", "bob": "developer"}.items():
            members.set_role(session, actor, members.SetMember(project="acme", user=name, role=role), now)
        allowed = (robots.parse_permission("acme:repository:push"),)
        robot = robots.add(session, actor, robots.AddRobot(name="ci", project="acme", days=1, permissions=allowed), now)
        token = access_tokens.add(session, actor, access_tokens.AddToken(user="bob", name="fuzz"), now)
        secrets = [robot.secret, token.secret]
    return create_app(built).test_client(), secrets


def words(data: atheris.FuzzedDataProvider, secrets: list[str]) -> Iterator[str]:
    """Pieces of what clients send, and noise between them."""
    known = [*KNOWN, *secrets]
    while data.remaining_bytes():
        if data.ConsumeBool():
            yield known[data.ConsumeIntInRange(0, len(known) - 1)]
        else:
            yield data.ConsumeUnicodeNoSurrogates(12)


class Target:
    """One installation, asked again and again."""

    def __init__(self, directory: Path) -> None:
        self.client, self.secrets = build(directory)

    def __call__(self, raw: bytes) -> None:
        data = atheris.FuzzedDataProvider(raw)
        is_post, shape = data.ConsumeBool(), data.ConsumeIntInRange(0, 7)
        pieces = list(words(data, self.secrets))
        fields = {
            name: [] for name in ("scope", "service", "account", "grant_type", "username", "password", "refresh_token")
        }
        pick = random.Random(raw)
        for piece in pieces:
            name = pick.choice(list(fields))
            if fields[name] and pick.random() < 0.7:
                fields[name][-1] += piece
            else:
                fields[name].append(piece)
        if pick.random() < 0.8:
            fields["service"] = ["authsvc"]
        # Werkzeug's client refuses what no HTTP client could send.
        with contextlib.suppress(ValueError, UnicodeError):
            self.check(self.ask(is_post=is_post, shape=shape, fields=fields))

    def ask(self, *, is_post: bool, shape: int, fields: dict[str, list[str]]):
        headers = {"X-Real-IP": f"192.0.2.{random.randrange(256)}"}
        name, password = "".join(fields["username"]), "".join(fields["password"])
        if shape < 4:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
        elif shape == 4:
            headers["Authorization"] = "".join(fields["password"])
        pairs = {key: values for key, values in fields.items() if values}
        if is_post:
            kept = headers if shape == 7 else {"X-Real-IP": headers["X-Real-IP"]}
            return self.client.post("/service/token", data=pairs, headers=kept)
        return self.client.get("/service/token", query_string=pairs, headers=headers)

    def check(self, answer) -> None:
        assert answer.status_code < 500, answer.get_data()
        body = answer.get_json()
        if answer.status_code != 200:
            assert "token" not in body
            assert "access_token" not in body
            return
        claims = jwt.decode(body["access_token"], options={"verify_signature": False})
        for entry in claims["access"]:
            self.check_entry(claims["sub"], entry)

    def check_entry(self, subject: str, entry: dict) -> None:
        if entry["type"] == "registry":
            assert (subject, entry["name"], entry["actions"]) == ("admin", "catalog", ["*"]), entry
            return
        first, slash, _ = entry["name"].partition("/")
        project = first if slash else "library"
        assert entry["type"] == "repository"
        assert set(entry["actions"]) <= MODEL[subject].get(project, set()), (subject, entry)


def main() -> None:
    """Fuzz with the arguments of libFuzzer, such as `-max_total_time=600`."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        target = Target(Path(directory) / "home")
        # Requests are long from the start; by itself libFuzzer begins with a few bytes.
        atheris.Setup([sys.argv[0], "-max_len=600", "-len_control=0", *sys.argv[1:]], target)
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.pop("AUTHSVC_HOME", None)
    main()
