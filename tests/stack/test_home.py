import os
import stat
from pathlib import Path

import pytest

from authsvc.domain import certificates
from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import home, places

from .conftest import NOW, MakeSettings

COMPOSE = {
    "WEB__ADDRESS": "web:8000",
    "REGISTRY__ADDRESS": "registry:5000",
    "REGISTRY__STORAGE": "/var/lib/registry",
    "DATABASE__URL": "mysql+pymysql://authsvc@mariadb/authsvc",
    "QUEUE__URL": "redis://redis:6379/0",
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(settings: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in settings.home.rglob("*") if path.is_file()}


def test_a_first_start_makes_everything(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    assert {path.name for path in settings.home.iterdir()} == {
        "authsvc.toml", "ca", "log", "registry", "rendered", "run", "secrets",
    }  # fmt: skip


def test_a_second_start_makes_nothing(make_settings: MakeSettings):
    settings = make_settings(TLS__SELF_SIGNED="true")
    home.make(settings, NOW)
    assert home.make(settings, NOW + 1) == []


def test_a_second_start_changes_nothing(make_settings: MakeSettings):
    settings = make_settings(TLS__SELF_SIGNED="true")
    home.make(settings, NOW)
    before = contents(settings)
    home.make(settings, NOW + 1)
    assert contents(settings) == before


def test_no_temporary_file_is_left(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    assert list(settings.home.rglob(".*")) == []


@pytest.mark.parametrize("name", ["master.key", "admin.password", "registry.secret", "events.secret"])
def test_a_secret_is_for_its_owner_only(make_settings: MakeSettings, name: str):
    settings = make_settings()
    home.make(settings, NOW)
    assert mode(settings.paths.secrets / name) == 0o400


def test_the_data_directory_is_closed_to_others(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    assert mode(settings.home) == 0o700


def test_the_key_of_the_ca_is_for_its_owner_only(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    assert (mode(settings.paths.ca_key), mode(settings.paths.ca_certificate)) == (0o400, 0o444)


def test_the_template_of_settings_sets_nothing(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    assert make_settings(PORT=str(settings.port)).model_dump() == settings.model_dump()


def test_every_line_of_the_template_is_a_setting(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    template = settings.home / "authsvc.toml"
    lines = template.read_text().splitlines()
    either_or = ("# certificate", "# key")
    template.write_text("\n".join(line if line.startswith(either_or) else line.lstrip("# ") for line in lines[3:]))
    assert make_settings().registry.storage == "/srv/registry"


def test_a_password_that_was_given_is_kept(make_settings: MakeSettings):
    settings = make_settings(ADMIN_PASSWORD="correct horse battery")
    home.make(settings, NOW)
    assert settings.paths.admin_password.read_text() == "correct horse battery"


def test_a_password_given_later_does_not_change_the_file(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    before = settings.paths.admin_password.read_text()
    home.make(make_settings(ADMIN_PASSWORD="correct horse battery"), NOW)
    assert settings.paths.admin_password.read_text() == before


def test_only_what_is_missing_is_made_again(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    settings.paths.events_secret.unlink()
    assert home.make(settings, NOW) == [str(settings.paths.events_secret)]


@pytest.mark.parametrize(("there", "missing"), [("ca.crt", "ca.key"), ("ca.key", "ca.crt")])
def test_half_of_a_pair_is_named(make_settings: MakeSettings, there: str, missing: str):
    settings = make_settings()
    home.make(settings, NOW)
    (settings.home / "ca" / missing).unlink()
    with pytest.raises(Misconfigured, match=rf"{there} is there, but not .*{missing}"):
        home.make(settings, NOW)


def test_a_server_certificate_is_signed_by_the_ca_beside_it(make_settings: MakeSettings):
    settings = make_settings(TLS__SELF_SIGNED="true")
    home.make(settings, NOW)
    tls = settings.paths.tls
    ca = certificates.load_pair((tls / "ca.crt").read_bytes(), (tls / "ca.key").read_bytes())
    server = certificates.load_pair((tls / "server.crt").read_bytes(), (tls / "server.key").read_bytes())
    assert certificates.is_signed_by(server.certificate, ca.certificate)


def test_a_server_certificate_names_the_public_host(make_settings: MakeSettings):
    settings = make_settings(TLS__SELF_SIGNED="true", PUBLIC_URL="https://registry.example.com:8443")
    made = home.make(settings, NOW)
    assert "for registry.example.com, localhost, 127.0.0.1, ::1" in made[-1]


def test_a_directory_that_cannot_be_made_is_a_sentence(make_settings: MakeSettings):
    settings = make_settings()
    settings.home.mkdir()
    settings.paths.secrets.write_text("in the way")
    with pytest.raises(Misconfigured, match=r"the data directory cannot be made: File exists: .*secrets"):
        home.make(settings, NOW)


def test_servers_get_passwords_of_their_own(make_settings: MakeSettings):
    settings = make_settings(**COMPOSE)
    home.make(settings, NOW)
    names = ("database.password", "database-root.password", "queue.password")
    assert len({(settings.paths.secrets / name).read_text() for name in names}) == 3


def test_a_password_in_the_url_is_not_made_again(make_settings: MakeSettings):
    settings = make_settings(DATABASE__URL="mysql+pymysql://authsvc:mine@mariadb/authsvc")
    home.make(settings, NOW)
    assert not (settings.paths.secrets / "database.password").exists()


def test_in_compose_other_users_may_read_their_folder(make_settings: MakeSettings):
    settings = make_settings(**COMPOSE)
    home.make(settings, NOW)
    folders = sorted((settings.paths.rendered).iterdir())
    assert [(folder.name, mode(folder)) for folder in folders] == [
        ("mariadb", 0o755), ("nginx", 0o755), ("redis", 0o755), ("registry", 0o755),
    ]  # fmt: skip


def test_a_data_directory_that_was_moved_is_made_whole_again(make_settings: MakeSettings, tmp_path: Path):
    settings = make_settings()
    home.make(settings, NOW)
    settings.home.rename(tmp_path / "moved")
    moved = make_settings(HOME=str(tmp_path / "moved"))
    home.make(moved, NOW)
    assert moved.paths.run.resolve() == (places.runtime_directory(moved) or moved.paths.run)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts nginx with workers of another user")
def test_only_the_workers_of_nginx_reach_the_sockets_of_root(make_settings: MakeSettings):
    settings = make_settings()
    home.make(settings, NOW)
    worker = places.worker()
    run = settings.paths.run.stat()
    assert (stat.S_IMODE(run.st_mode), run.st_uid, run.st_gid) == (0o2710, 0, worker.pw_gid if worker else None)
