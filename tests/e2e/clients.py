"""The clients people use, each with files of its own, so that nobody's login leaks into another test."""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from tests.e2e.servers import run

Done = CompletedProcess[str]


def write_auth_file(path: Path, host: str, name: str, *, password: str = "", identity_token: str = "") -> Path:
    """What `login` keeps for one host: a password, or an identity token in place of it, as docker writes it."""
    entry = {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}
    token = {"identitytoken": identity_token} if identity_token else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"auths": {host: entry | token}}))
    return path


@dataclass(frozen=True)
class Docker:
    """The docker command line of one person."""

    config: Path

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> Done:
        return run(
            "docker", *arguments, stdin=stdin, env={**os.environ, "DOCKER_CONFIG": str(self.config)}, check=check
        )

    def kept(self, host: str) -> dict[str, str]:
        """What the last login left in docker's file."""
        found: dict[str, str] = json.loads((self.config / "config.json").read_text())["auths"][host]
        return found

    def login(self, host: str, name: str, password: str, *, check: bool = True) -> Done:
        return self("login", "--username", name, "--password-stdin", host, stdin=password, check=check)

    def image(self, reference: str) -> None:
        """Make a small image of its own under a name."""
        content = self.config / "content"
        content.mkdir(parents=True, exist_ok=True)
        (content / "random").write_bytes(os.urandom(1024))
        archive = self.config / "content.tar"
        run("tar", "-C", str(content), "-cf", str(archive), ".")
        self("import", str(archive), reference)


@dataclass(frozen=True)
class Skopeo:
    """skopeo, as one person, as whoever is in an auth file, or as nobody."""

    credentials: str = ""
    auth_file: Path | None = None

    def copy(self, source: str, target: str, *more: str, check: bool = True) -> Done:
        is_nobody = not self.credentials and not self.auth_file
        ends = [
            *(["--authfile", str(self.auth_file)] if self.auth_file else []),
            *(["--src-no-creds"] if source.startswith("docker:") and is_nobody else []),
            *(["--src-creds", self.credentials] if source.startswith("docker:") and self.credentials else []),
            *(["--dest-creds", self.credentials] if target.startswith("docker:") and self.credentials else []),
        ]
        insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        return run("skopeo", "--insecure-policy", "copy", *insecure, *ends, *more, source, target, check=check)

    def __call__(self, command: str, reference: str, check: bool = True) -> Done:
        who = ["--creds", self.credentials] if self.credentials else ["--no-creds"]
        return run("skopeo", command, "--tls-verify=false", *who, reference, check=check)


@dataclass(frozen=True)
class Podman:
    """podman with storage of its own, below a path that is short: it takes at most 50 characters."""

    root: Path

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> Done:
        store = ["--root", str(self.root / "root"), "--runroot", str(self.root / "run"), "--storage-driver", "vfs"]
        environment = {**os.environ, "REGISTRY_AUTH_FILE": str(self.root / "auth.json")}
        return run("podman", *store, *arguments, stdin=stdin, env=environment, check=check)


@dataclass(frozen=True)
class Buildah:
    """buildah with storage of its own."""

    root: Path

    def __call__(self, *arguments: str, check: bool = True) -> Done:
        store = ["--root", str(self.root / "root"), "--runroot", str(self.root / "run"), "--storage-driver", "vfs"]
        return run("buildah", *store, *arguments, check=check)


@dataclass(frozen=True)
class Containerd:
    """containerd's own command line, which speaks to a containerd of our own."""

    socket: Path

    def __call__(self, *arguments: str, check: bool = True) -> Done:
        return run("ctr", "--address", str(self.socket), *arguments, check=check)


@dataclass(frozen=True)
class Notary:
    """The notary command line of one person, or of nobody, with keys and trust data of its own."""

    server: str
    directory: Path
    credentials: str = ""

    def __call__(self, *arguments: str, check: bool = True) -> Done:
        phrases = {f"NOTARY_{role}_PASSPHRASE": f"{role}-phrase-1" for role in ("ROOT", "TARGETS", "SNAPSHOT")}
        who = {"NOTARY_AUTH": base64.b64encode(self.credentials.encode()).decode()} if self.credentials else {}
        kept = {name: value for name, value in os.environ.items() if name != "NOTARY_AUTH"}
        command = ["notary", "-s", self.server, "-d", str(self.directory), *arguments]
        return run(*command, stdin="", env={**kept, **phrases, **who}, check=check)
