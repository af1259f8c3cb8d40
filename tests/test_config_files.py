"""What is rendered from nginx/ and registry-config/ agrees with the settings, and nothing can break out of it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from authsvc.errors import Misconfigured
from authsvc.settings import Settings
from authsvc.stack import home, render

from .stack.conftest import NGINX, NOW, MakeSettings, make_home, make_settings, wait_until

__all__ = ["make_home", "make_settings"]  # fixtures

VARIANTS: dict[str, dict[str, str]] = {
    "http": {},
    "tls": {"TLS__SELF_SIGNED": "true"},
    "compose": {
        "WEB__ADDRESS": "127.0.0.1:8000", "WEB__RESOLVER": "127.0.0.11", "REGISTRY__ADDRESS": "127.0.0.1:5000",
    },
    "peers": {"WEB__PEERS": "192.0.2.1:8000,192.0.2.2:8000"},
    "no sendfile": {"REGISTRY__SENDFILE": "false"},
    "compose with tls": {
        "WEB__ADDRESS": "127.0.0.1:8000", "REGISTRY__ADDRESS": "127.0.0.1:5000", "TLS__SELF_SIGNED": "true",
    },
    "public_url": {"PUBLIC_URL": "https://registry.example.com"},
    "external registry": {"REGISTRY__URL": "http://127.0.0.1:5000"},
    "external registry with tls": {"REGISTRY__URL": "https://localhost"},
    "metrics": {"METRICS__LISTEN": "127.0.0.1:9090"},
    "trusted proxies": {"TRUSTED_PROXIES": "192.0.2.0/24,2001:db8::/32"},
}  # fmt: skip


def rendered_registry(settings: Settings) -> dict:
    return yaml.safe_load(render.registry_config(settings))


@pytest.mark.parametrize("environment", VARIANTS.values(), ids=VARIANTS)
def test_nginx_accepts(make_home: MakeSettings, environment: dict[str, str]):
    config = make_home(**environment).paths.rendered / "nginx" / "nginx.conf"
    checked = subprocess.run([*NGINX, "-t", "-c", config, "-e", "stderr"], capture_output=True, text=True, check=False)
    assert (checked.returncode, "[warn]" in checked.stderr) == (0, False), checked.stderr


@pytest.mark.parametrize(
    "of", [render.registry_config, lambda settings: render.registry_auth(settings, notifications=True)]
)
def test_a_registry_is_told_what_the_tokens_say(make_home: MakeSettings, of: Callable[[Settings], str]):
    settings = make_home(
        TOKEN__ISSUER='an "issuer"', TOKEN__SERVICE="a: service # \\", PUBLIC_URL="https://example.com"
    )
    assert yaml.safe_load(of(settings))["auth"]["token"] == {
        "realm": "https://example.com/service/token",
        "service": settings.token.service,
        "issuer": settings.token.issuer,
        "rootcertbundle": str(settings.paths.ca_certificate),
    }


def test_the_registry_deletes_and_caches_nothing(make_home: MakeSettings):
    storage = rendered_registry(make_home())["storage"]
    assert (storage["delete"], "cache" in storage) == ({"enabled": True}, False)


def test_the_registry_of_compose_is_told_its_own_paths(make_home: MakeSettings):
    config = rendered_registry(
        make_home(
            WEB__ADDRESS="web:8000", REGISTRY__BIND="0.0.0.0:5000", REGISTRY__ADDRESS="registry:5000",
            REGISTRY__STORAGE="/var/lib/registry", REGISTRY__BUNDLE="/etc/authsvc/registry/ca.crt",
        )
    )  # fmt: skip
    told = (config["http"]["addr"], config["storage"]["filesystem"]["rootdirectory"])
    assert (*told, config["auth"]["token"]["rootcertbundle"]) == (
        "0.0.0.0:5000", "/var/lib/registry", "/etc/authsvc/registry/ca.crt",
    )  # fmt: skip


@pytest.mark.parametrize("extra", ["", "auth"])
def test_a_real_registry_starts(make_home: MakeSettings, tmp_path: Path, extra: str):
    settings = make_home()
    config = settings.paths.rendered / "registry" / "config.yml"
    if extra:
        config = tmp_path / "config.yml"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}}}}}\n"
            f"http: {{net: unix, addr: {tmp_path}/registry.sock}}" + render.registry_auth(settings, notifications=True)
        )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=output, stderr=output)
    wait_until(lambda: "listening on" in log.read_text() or process.poll() is not None)
    process.terminate()
    process.wait()
    assert "listening on" in log.read_text()


def test_settings_override_where_an_existing_registry_looks(make_home: MakeSettings):
    text = render.registry_auth(make_home(), bundle="/etc/ca.crt", realm="https://tokens.example.com/service/token")
    token = yaml.safe_load(text)["auth"]["token"]
    assert (token["realm"], token["rootcertbundle"]) == ("https://tokens.example.com/service/token", "/etc/ca.crt")


def test_notifications_are_off_unless_asked_for(make_home: MakeSettings):
    assert "notifications" not in yaml.safe_load(render.registry_auth(make_home()))


def test_blobs_are_left_to_nginx_where_that_is_asked_for(make_home: MakeSettings):
    printed = yaml.safe_load(render.registry_auth(make_home(), sendfile=True))
    assert (printed["middleware"]["storage"][0]["name"], "auth" in printed) == ("redirect", True)
    assert "middleware" not in yaml.safe_load(render.registry_auth(make_home()))


def test_notifications_carry_the_secret_in_a_header(make_home: MakeSettings):
    settings = make_home(PUBLIC_URL="https://example.com")
    (endpoint,) = yaml.safe_load(render.registry_auth(settings, notifications=True))["notifications"]["endpoints"]
    secret = settings.paths.events_secret.read_text()
    assert (endpoint["url"], endpoint["headers"]) == (
        "https://example.com/service/events", {"Authorization": [f"Bearer {secret}"]},
    )  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r", "\x00", "\u2028"])
def test_no_line_of_a_registry_can_be_ended(make_home: MakeSettings, end: str):
    settings = make_home()
    with pytest.raises(Misconfigured, match="not printable"):
        render.registry_auth(settings, realm=f"https://example.com{end}evil: true")


@pytest.mark.parametrize("path", ['/srv/a"; evil "', "/srv/$host", "/srv/back\\slash", "/srv/a\nb"])
def test_no_string_of_nginx_can_be_ended(make_settings: MakeSettings, path: str):
    settings = make_settings(TLS__CERTIFICATE=path, TLS__KEY="/srv/key")
    with pytest.raises(Misconfigured, match="cannot stand in"):
        render.nginx_conf(settings)


@pytest.mark.parametrize("address", ['a"; evil "b:1', "no-port", "a:1; evil b:2", "http://a:1"])
def test_an_address_is_a_host_and_a_port(make_settings: MakeSettings, address: str):
    with pytest.raises(Misconfigured, match=r"web\.address"):
        render.nginx_conf(make_settings(WEB__ADDRESS=address))


@pytest.mark.parametrize("listen", ["9090", ":9090", 'a"; evil "b:1', "unix:/a:1", "http://a:1", "a b:1"])
def test_metrics_are_shown_on_an_address_and_a_port(make_settings: MakeSettings, listen: str):
    with pytest.raises(Misconfigured, match=r"metrics\.listen"):
        make_settings(METRICS__LISTEN=listen)


def test_metrics_are_not_shown_on_the_public_port(make_settings: MakeSettings):
    with pytest.raises(Misconfigured, match="public port"):
        render.nginx_conf(make_settings(PORT="5000", METRICS__LISTEN="127.0.0.1:5000"))


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a/path", "http://u@a", "http://a:x", "a:5000"])
def test_a_registry_url_is_a_host_and_a_port(make_settings: MakeSettings, url: str):
    with pytest.raises(Misconfigured, match=r"registry\.url"):
        render.nginx_conf(make_settings(REGISTRY__URL=url))


def test_a_data_directory_with_spaces_and_quotes_in_its_name_is_no_break_out(
    make_settings: MakeSettings, tmp_path: Path
):
    settings = make_settings(HOME=str(tmp_path / "it's a home"), WEB__BIND="127.0.0.1:1", REGISTRY__BIND="127.0.0.1:2")
    home.make(settings, NOW)
    render.write(settings)
    assert rendered_registry(settings)["storage"]["filesystem"]["rootdirectory"] == str(settings.paths.registry)


def test_a_socket_path_that_no_kernel_holds_is_refused(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Misconfigured, match="choose a shorter AUTHSVC_HOME"):
        render.nginx_conf(make_settings(HOME=str(tmp_path / ("long" * 30))))


def test_secrets_for_other_containers_lie_in_their_folder(make_home: MakeSettings):
    settings = make_home(
        WEB__ADDRESS="web:8000", REGISTRY__ADDRESS="registry:5000",
        DATABASE__URL="mysql+pymysql://authsvc@mariadb/authsvc", QUEUE__URL="redis://redis:6379/0",
    )  # fmt: skip
    password = (settings.paths.secrets / "queue.password").read_text()
    redis = (settings.paths.rendered / "redis" / "redis.conf").read_text()
    assert redis == f'requirepass "{password}"\nappendonly yes\n'


def test_compose_copies_the_certificate_to_nginx(make_home: MakeSettings):
    settings = make_home(WEB__ADDRESS="web:8000", REGISTRY__ADDRESS="registry:5000", TLS__SELF_SIGNED="true")
    copy = settings.paths.rendered / "nginx" / "server.key"
    assert copy.read_bytes() == (settings.paths.tls / "server.key").read_bytes()
