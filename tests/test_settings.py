import pytest

from authsvc import settings as settings_module
from authsvc.errors import Misconfigured
from authsvc.settings import Settings


@pytest.fixture
def load(tmp_path):
    """Settings from the text of `authsvc.toml` and from environment variables, without their prefix."""

    def load(toml: str = "", **environment: str) -> Settings:
        (tmp_path / "authsvc.toml").write_text(toml, encoding="utf-8")
        given = {f"AUTHSVC_{name}": value for name, value in environment.items()}
        return settings_module.load({"AUTHSVC_HOME": str(tmp_path), "PATH": "/bin"} | given)

    return load


def mistakes(load, toml: str = "", **environment: str) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        load(toml, **environment)
    first, *rest = str(refused.value).splitlines()
    assert first == "these settings are wrong:"
    return [line.strip() for line in rest]


def test_nothing_has_to_be_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = settings_module.load({})
    assert (found.home, found.port, found.token.lifetime) == (tmp_path / "data", 8080, 300)


def test_the_environment_of_the_process_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTHSVC_HOME", str(tmp_path))
    monkeypatch.setenv("AUTHSVC_PORT", "5001")
    assert settings_module.load().port == 5001


def test_a_file_changes_a_default(load):
    assert load("port = 5000\n[token]\nlifetime = 600").token.lifetime == 600


def test_the_environment_changes_the_file(load):
    found = load("port = 5000\n[token]\nlifetime = 600\nissuer = 'file'", TOKEN__LIFETIME="900")
    assert (found.port, found.token.lifetime, found.token.issuer) == (5000, 900, "file")


def test_a_variable_that_is_not_ours_is_ignored(tmp_path):
    assert settings_module.load({"AUTHSVC_HOME": str(tmp_path), "PORT": "1", "XAUTHSVC_PORT": "2"}).port == 8080


def test_every_mistake_is_told_at_once(load):
    found = mistakes(load, "prot = 1\n[token]\nlifetime = 5\n[nonsense]\nx = 1", PORT="http", TOKEN__PROOF_TTL="soon")
    assert found == [
        "port: a whole number",
        "token.lifetime: 60 or more",
        "token.proof_ttl: a whole number",
        "prot: unknown setting",
        "nonsense: unknown setting",
    ]


def test_a_file_that_is_missing_is_told_with_the_other_mistakes(load):
    found = mistakes(load, ADMIN_PASSWORD_FILE="/missing", PORT="http")
    assert (found[0], len(found)) == (
        "AUTHSVC_ADMIN_PASSWORD_FILE: [Errno 2] No such file or directory: '/missing'",
        2,
    )


def test_a_settings_file_that_is_none_is_told(load):
    (mistake,) = mistakes(load, "port = ")
    assert mistake.split(":")[0].endswith("authsvc.toml")


@pytest.mark.parametrize("name", ["PROT", "TOKEN__LIFETIM", "TOKEN_LIFETIME", "NONSENSE__X"])
def test_a_setting_nobody_knows_is_a_mistake(load, name):
    assert mistakes(load, **{name: "1"})[0].endswith("unknown setting")


def test_a_section_is_no_value(load):
    assert "AUTHSVC_TOKEN__LIFETIME: token is not a section" in mistakes(load, TOKEN="x", TOKEN__LIFETIME="60")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("TOKEN__LIFETIME", "59"),
        ("TOKEN__LIFETIME", "86401"),
        ("TOKEN__ISSUER", ""),
        ("TOKEN__SERVICE", ""),
        ("TOKEN__PROOF_TTL", "-1"),
        ("PASSWORD__MIN_LENGTH", "7"),
        ("WEB__PROCESSES", "0"),
        ("LOG__LEVEL", "loud"),
        ("PUBLIC_URL", "registry.example.com"),
        ("PUBLIC_URL", "https://registry.example.com/path"),
        ("PUBLIC_URL", 'https://x"y'),
        ("TRUSTED_PROXIES", "proxy"),
        ("TLS__SELF_SIGNED", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_a_mistake(load, name, value):
    (mistake,) = mistakes(load, **{name: value})
    assert mistake.startswith(name.lower().replace("__", "."))


@pytest.mark.parametrize(
    "environment",
    [
        {"TLS__CERTIFICATE": "/x.crt"},
        {"TLS__KEY": "/x.key"},
        {"TLS__CERTIFICATE": "/x.crt", "TLS__KEY": "/x.key", "TLS__SELF_SIGNED": "true"},
    ],
)
def test_half_a_pair_or_two_kinds_of_certificate_are_a_mistake(load, environment):
    (mistake,) = mistakes(load, **environment)
    assert mistake.startswith("tls: ")


@pytest.mark.parametrize(
    ("ending", "value"), [("", "s3cret"), ("\n", "s3cret"), ("\r\n", "s3cret"), (" \n", "s3cret ")]
)
def test_a_secret_may_lie_in_a_file(load, tmp_path, ending, value):
    (tmp_path / "password").write_bytes(f"s3cret{ending}".encode())
    found = load(DATABASE__PASSWORD_FILE=str(tmp_path / "password"))
    assert found.database.password.get_secret_value() == value


@pytest.mark.parametrize("name", ["ADMIN_PASSWORD", "DATABASE__PASSWORD", "QUEUE__PASSWORD"])
def test_a_secret_is_not_shown(load, name):
    found = load(**{name: "s3cret-s3cret"})
    assert "s3cret" not in repr(found) + str(found) + found.model_dump_json()


def test_a_secret_is_not_shown_with_the_mistakes(load):
    assert "s3cret" not in " ".join(mistakes(load, ADMIN_PASSWORD="s3cret-s3cret", PORT="x"))


def test_a_setting_cannot_be_changed(load):
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


@pytest.mark.parametrize(("text", "names"), [("", ()), ("a", ("a",)), ("a, b ,,c", ("a", "b", "c"))])
def test_a_list_is_one_text_with_commas_in_the_environment(load, text, names):
    assert load(TLS__NAMES=text).tls.names == names


def test_a_list_is_a_list_in_the_file(load):
    assert [str(net) for net in load('trusted_proxies = ["192.0.2.0/24", "::1"]').trusted_proxies] == [
        "192.0.2.0/24",
        "::1/128",
    ]


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "80"}, "http://127.0.0.1:80"),
        ({"TLS__SELF_SIGNED": "true"}, "https://127.0.0.1:8080"),
        ({"TLS__CERTIFICATE": "/c", "TLS__KEY": "/k"}, "https://127.0.0.1:8080"),
        ({"PUBLIC_URL": "https://registry.example.com"}, "https://registry.example.com"),
    ],
)
def test_people_are_told_an_address(load, environment, address):
    found = load(**environment)
    assert (found.address, found.realm) == (address, f"{address}/service/token")


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"REGISTRY__URL": "http://r:5000", "REGISTRY__BIND": "x:1"}, "http://r:5000"),
        ({"REGISTRY__ADDRESS": "registry:5000", "REGISTRY__BIND": "0.0.0.0:5000"}, "http://registry:5000"),
        ({"REGISTRY__BIND": "127.0.0.1:5000"}, "http://127.0.0.1:5000"),
    ],
)
def test_the_registry_is_reached_where_it_is(load, environment, address):
    assert load(**environment).registry_address == address


def test_our_own_registry_is_reached_by_its_socket(load, tmp_path):
    assert load().registry_address == f"unix:{tmp_path}/run/registry.sock"


def test_the_data_directory_may_lie_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings_module.load({"AUTHSVC_HOME": "~/registry"}).home == tmp_path / "registry"


CORP = """
[ldap.corp]
urls = ["ldaps://ldap.example.com"]
base = "dc=example,dc=com"
"""


def test_a_directory_is_a_section_of_its_own(load):
    found = load(CORP + CORP.replace("corp", "old"))
    assert [(name, one.base) for name, one in found.ldap.items()] == [
        ("corp", "dc=example,dc=com"),
        ("old", "dc=example,dc=com"),
    ]


def test_a_directory_may_be_given_by_the_environment_alone(load, tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    corp = load(
        LDAP__CORP__URLS="ldap://a, ldap://b:3890",
        LDAP__CORP__STARTTLS="true",
        LDAP__CORP__CA_CERTIFICATE="/ca.pem",
        LDAP__CORP__BASE="dc=x",
        LDAP__CORP__BIND_DN="cn=authsvc,dc=x",
        LDAP__CORP__BIND_PASSWORD_FILE=str(tmp_path / "password"),
        LDAP__CORP__ADMIN_GROUPS="cn=a,dc=x; b",
        LDAP__CORP__GROUP_MATCHERS="dn=member, memberOf=dn",
    ).ldap["corp"]
    assert (corp.urls, corp.admin_groups) == (("ldap://a", "ldap://b:3890"), ("cn=a,dc=x", "b"))
    assert (corp.bind_password.get_secret_value(), corp.group_matchers) == ("s3cret", ("dn=member", "memberOf=dn"))


def test_active_directory_has_other_defaults_which_can_be_changed(load):
    found = load(CORP + "type = 'active-directory'\nlogin_attributes = ['mail']").ldap["corp"]
    assert (found.id_attribute, found.login_attributes) == ("objectGUID", ("mail",))


def test_the_password_of_a_directory_is_not_shown(load):
    found = load(CORP + "bind_dn = 'cn=x'\nbind_password = 's3cret-s3cret'")
    assert "s3cret" not in repr(found) + str(found) + found.model_dump_json()


def test_the_password_of_a_directory_is_not_shown_with_the_mistakes(load):
    assert "s3cret" not in " ".join(mistakes(load, CORP + "bind_password = 's3cret-s3cret'"))


@pytest.mark.parametrize(("given", "filter_"), [("uid=*", "(uid=*)"), ("(uid=*)", "(uid=*)"), (" (a=b) ", "(a=b)")])
def test_a_filter_may_be_written_without_its_parentheses(load, given, filter_):
    assert load(CORP + f"user_filter = '{given}'").ldap["corp"].user_filter == filter_


@pytest.mark.parametrize("name", ["local", "Corp", "a-b", "1a", "a" * 33, "a.b"])
def test_a_directory_has_a_name_that_subjects_can_begin_with(load, name):
    (mistake,) = mistakes(load, CORP.replace("ldap.corp", f'ldap."{name}"'))
    assert mistake.startswith(f"ldap.{name}")


@pytest.mark.parametrize(
    "line",
    [
        "urls = []",
        'urls = ["http://x"]',
        'urls = ["ldap://x/dc=y"]',
        'urls = ["ldap://user@x"]',
        'base = ""',
        'base = "example.com"',
        'user_base = "people"',
        'user_filter = "(uid=x"',
        'user_filter = ")("',
        "login_attributes = []",
        'group_matchers = ["member"]',
        "group_depth = 21",
        "timeout = 15",
        "pool_size = 0",
        'bind_template = "uid=alice,dc=x"',
        'bind_template = "{name}"',
        'bind_password = ""',
        'user_scope = "all"',
        'type = "novell"',
        'nonsense = "x"',
    ],
)
def test_a_setting_of_a_directory_that_makes_no_sense_is_a_mistake(load, line):
    toml = "\n".join(one for one in CORP.splitlines() if not one.startswith(line.split()[0])) + f"\n{line}"
    assert mistakes(load, toml)[0].startswith(f"ldap.corp.{line.split()[0]}")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["starttls = true"], "starttls is for ldap://, and a URL says ldaps://"),
        (['urls = ["ldap://x"]', 'ca_certificate = "/x"'], "certificates need ldaps:// or starttls"),
        (["verify = false", 'ca_certificate = "/x"'], "ca_certificate has no use while verify is off"),
        (['client_key = "/x"'], "client_certificate and client_key go together"),
        (['bind_dn = "cn=x"'], "bind_dn and bind_password go together"),
        (['bind_password = "x"'], "bind_dn and bind_password go together"),
        (
            ['bind_dn = "cn=x"', 'bind_password = "x"', 'bind_template = "uid={name}"'],
            "bind_template binds as the person, bind_dn as a service",
        ),
        (["connect_timeout = 6"], "connect_timeout is part of timeout and cannot be longer"),
        (["wait = 10"], "wait and timeout: 14 at most, as docker waits 15 seconds for both"),
        (["group_matchers = []", 'admin_groups = ["x"]'], "admin_groups need group_matchers"),
        (
            ['group_matchers = ["memberOf=dn"]', "group_depth = 1"],
            "group_depth needs a matcher that begins with dn=",
        ),
    ],
)
def test_settings_of_a_directory_that_contradict_each_other_are_one_sentence(load, lines, sentence):
    kept = [one for one in CORP.splitlines() if not (one.startswith("urls") and lines[0].startswith("urls"))]
    assert mistakes(load, "\n".join([*kept, *lines])) == [f"ldap.corp: {sentence}"]


def test_everything_lies_in_the_data_directory(load, tmp_path):
    paths = load().paths
    names = [name for name, kind in vars(type(paths)).items() if isinstance(kind, property)]
    assert [name for name in names if tmp_path not in getattr(paths, name).parents] == []


def test_a_file_named_in_the_file_holds_a_value(load, tmp_path):
    (tmp_path / "secret").write_text("from-a-file\n")
    settings = load(toml=f'[database]\npassword_file = "{tmp_path / "secret"}"')
    assert settings.database.password.get_secret_value() == "from-a-file"


def test_a_file_that_is_named_in_the_file_and_not_there_is_a_mistake(load):
    with pytest.raises(Misconfigured, match=r"password_file: .*No such file"):
        load(toml='[database]\npassword_file = "/nowhere"')


UAA = {"UAA__CF__ISSUER": "https://uaa.example.com/oauth/token", "UAA__CF__CLIENT_ID": "us"}
UAA |= {"UAA__CF__CLIENT_SECRET": "s3cret"}


def test_a_provider_is_a_source_by_its_name(load):
    found = load(**UAA)
    assert (found.chain, found.uaa["cf"].client_id) == (("local", "cf"), "us")


def test_the_order_of_sources_is_set(load):
    assert load(SOURCES="cf, local", **UAA).chain == ("cf", "local")


def test_two_sources_have_two_names(load):
    (mistake,) = mistakes(load, LDAP__CF__URLS="ldaps://cf", LDAP__CF__BASE="dc=cf", **UAA)
    assert mistake.endswith("cf is the name of two")


def test_the_secret_of_a_provider_is_not_shown(load):
    found = load(**UAA)
    assert "s3cret" not in repr(found) + str(found) + found.model_dump_json()


@pytest.mark.parametrize("name", ["local", "c-f", "c.f", "0cf"])
def test_a_source_has_a_name_of_its_own(load, name):
    given = f'[uaa."{name}"]\nissuer = "https://x.example.com"\nclient_id = "us"\nclient_secret = "s3cret"'
    assert mistakes(load, given)[0].startswith(f"uaa.{name}")


@pytest.mark.parametrize(
    "changed",
    [
        {"UAA__CF__ISSUER": ""},
        {"UAA__CF__ISSUER": "uaa.example.com"},
        {"UAA__CF__ISSUER": "http://uaa.example.com"},
        {"UAA__CF__ISSUER": "https://"},
        {"UAA__CF__ISSUER": "https://bob@uaa.example.com"},
        {"UAA__CF__ISSUER": "https://uaa.example.com?x"},
        {"UAA__CF__ISSUER": "https://uaa.example.com#x"},
        {"UAA__CF__ISSUER": "https://uaa.example.com/a b"},
        {"UAA__CF__ISSUER": "https://uaa.example.com:port"},
        {"UAA__CF__ISSUER": "https://[::1"},
        {"UAA__CF__TOKEN_ENDPOINT": "https://uaa.example.com/oauth/token"},
        {"UAA__CF__ISSUER": "", "UAA__CF__TOKEN_ENDPOINT": "https://uaa.example.com/oauth/token"},
        {"UAA__CF__CLIENT_ID": ""},
        {"UAA__CF__NAME_CLAIM": ""},
        {"UAA__CF__GROUPS_CLAIM": "", "UAA__CF__ADMIN_GROUPS": "admins"},
    ],
)
def test_a_provider_that_cannot_work_is_a_mistake(load, changed):
    (mistake,) = mistakes(load, **UAA | changed)
    assert mistake.startswith("uaa.cf")


@pytest.mark.parametrize(
    "changed",
    [
        {"UAA__CF__ISSUER": "http://uaa:8080/uaa/oauth/token", "UAA__CF__ALLOW_HTTP": "true"},
        {"UAA__CF__ISSUER": "https://[::1]:8443"},
        {
            "UAA__CF__ISSUER": "",
            "UAA__CF__TOKEN_ENDPOINT": "https://uaa.example.com/oauth/token",
            "UAA__CF__USERINFO_ENDPOINT": "https://uaa.example.com/userinfo",
        },
    ],
)
def test_a_provider_has_an_address_or_two(load, changed):
    assert load(**UAA | changed).uaa.keys() == {"cf"}


OIDC = {"ISSUER": "https://sso.example.com/realms/x", "CLIENT_ID": "authsvc", "CLIENT_SECRET": "s3cret"}


def provider(**changed: str) -> dict[str, str]:
    return {f"OIDC__KEYCLOAK__{name}": value for name, value in (OIDC | changed).items()}


def test_a_provider_has_a_name_and_what_it_must_have(load):
    found = load(**provider()).oidc["keycloak"]
    assert (found.issuer, found.scopes, found.name_claim, found.groups_claim, found.admin_groups) == (
        "https://sso.example.com/realms/x",
        ("openid", "profile", "email"),
        "preferred_username",
        "groups",
        (),
    )


def test_a_provider_is_always_asked_for_an_id_token(load):
    assert load(**provider(SCOPES="profile,groups")).oidc["keycloak"].scopes == ("openid", "profile", "groups")


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:8080", "http://localhost", "https://sso"])
def test_a_secret_may_go_over_tls_or_to_this_machine(load, issuer):
    assert load(**provider(ISSUER=issuer)).oidc["keycloak"].issuer == issuer


@pytest.mark.parametrize(
    "issuer", ["http://sso.example.com", "ftp://sso", "sso.example.com", "", "http://[", "https://"]
)
def test_a_secret_goes_nowhere_else(load, issuer):
    with pytest.raises(Misconfigured, match=r"oidc\.keycloak\.issuer"):
        load(**provider(ISSUER=issuer))


def test_the_secret_of_an_oidc_provider_is_not_shown(load):
    assert "s3cret" not in repr(load(**provider()))


def test_a_providers_name_is_no_other_sources(load):
    with pytest.raises(Misconfigured, match="local is the name of the accounts that are kept here"):
        load(**{f"OIDC__LOCAL__{name}": value for name, value in OIDC.items()})


def test_a_directory_and_a_provider_have_names_of_their_own(load):
    directory = {"LDAP__KEYCLOAK__URLS": "ldap://corp", "LDAP__KEYCLOAK__BASE": "dc=example"}
    with pytest.raises(Misconfigured, match="keycloak is another source's name"):
        load(**provider(), **directory)


def test_a_provider_may_check_passwords_and_have_a_page(load):
    found = load(**provider(), **password_grant(OIDC["ISSUER"]))
    assert found.uaa.keys() == found.oidc.keys() == {"keycloak"}


def test_two_providers_have_names_of_their_own(load):
    with pytest.raises(Misconfigured, match="keycloak is another source's name"):
        load(**provider(), **password_grant("https://uaa.example.com"))


def password_grant(issuer: str) -> dict[str, str]:
    return {f"UAA__KEYCLOAK__{name}": value for name, value in (OIDC | {"ISSUER": issuer}).items()}
