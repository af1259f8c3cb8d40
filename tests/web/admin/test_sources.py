"""The pages of identity sources, with an OpenLDAP server and a provider where these are asked."""

import pytest

from authsvc.core import groups, members, settings_store
from authsvc.core.groups import AddGroup
from authsvc.core.members import SetMember
from authsvc.web.admin.source_forms import in_text
from tests.conftest import free_port
from tests.identity import servers
from tests.identity.conftest import authority, certificate, directory, example  # noqa: F401 (fixtures)
from tests.identity.seed_slapd import PEOPLE
from tests.identity.servers import Authority
from tests.oidc_provider import CLIENT, SECRET

LDAP, UAA, OIDC = "/admin/sources/ldap/corp", "/admin/sources/uaa/sso", "/admin/sources/oidc/sso"
NEW = "/admin/sources/new"
FIELDS = {
    "name": "corp",
    "urls": "ldaps://ldap.example.com",
    "base": "dc=example,dc=com",
    "bind_dn": "cn=authsvc,dc=example,dc=com",
    "bind_password": "a-secret-of-ours",
}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def stored(built, root):
    """What is stored of a source."""

    def stored(kind: str, name: str) -> dict[str, object]:
        with built.reading() as unit:
            source = settings_store.get_source(unit, root, kind, name, built.basis)
        return {field: source.fields[field] for field in source.changed}

    return stored


@pytest.fixture
def names(built, root):
    """The sources that there are."""

    def names() -> list[str]:
        with built.reading() as unit:
            return [
                one.name
                for one in settings_store.list_all(unit, root, built.basis)
                if "." in one.name and one.default is None
            ]

    return names


@pytest.fixture
def make(roots):
    """Make a source in its form."""

    def make(kind: str = "ldap", **changes: object):
        roots.get(f"{NEW}?kind={kind}")
        return roots.post(NEW, kind=kind, **FIELDS | changes)

    return make


@pytest.fixture
def corp(roots, make, directory, authority):  # noqa: F811 (the fixtures)
    """The browser, after README's directory was made on this server."""
    typed = {name: in_text("ldap", name, value) for name, value in example("corp").items()}
    there = {"urls": directory.tls_url, "ca_certificate": str(authority.certificate)}
    answer = make(**typed | there | {"bind_password": servers.SERVICE_PASSWORD})
    assert answer.status_code == 303, answer.text
    roots.get(LDAP)
    return roots


@pytest.fixture
def sso(roots, make, oidc_provider):
    """Make the provider a source of that kind, with changes."""

    def sso(kind: str, **changes: object):
        fields = {"name": "sso", "issuer": oidc_provider.issuer, "ca_certificate": str(oidc_provider.ca)}
        answer = make(kind, **fields | {"client_id": CLIENT, "client_secret": SECRET} | changes)
        assert answer.status_code == 303, answer.text
        roots.get(f"/admin/sources/{kind}/sso")
        return roots

    return sso


class TestForms:
    def test_a_directory_is_made(self, make, stored):
        assert make().status_code == 303
        assert stored("ldap", "corp") == {
            "urls": ["ldaps://ldap.example.com"],
            "base": "dc=example,dc=com",
            "bind_dn": "cn=authsvc,dc=example,dc=com",
            "bind_password": settings_store.MASK,
        }

    def test_active_directory_is_a_directory_of_its_type(self, roots, make, stored):
        page = roots.get(f"{NEW}?kind=active-directory").text
        assert ('value="active-directory" selected' in page, "sAMAccountName" in page) == (True, True)
        make("active-directory", type="active-directory")
        assert (stored("ldap", "corp")["type"], "Active Directory" in roots.get("/admin/sources").text) == (
            "active-directory",
            True,
        )

    @pytest.mark.parametrize("kind", ["ldap", "active-directory", "uaa", "oidc"])
    def test_every_kind_has_a_form(self, roots, kind):
        assert roots.get(f"{NEW}?kind={kind}").status_code == 200

    def test_there_is_no_other_kind(self, roots):
        assert roots.get(f"{NEW}?kind=nothing").status_code == 404

    def test_a_provider_says_where_people_come_back_to(self, roots, sso):
        assert "/login/NAME/callback" in roots.get(f"{NEW}?kind=oidc").text
        assert "/login/sso/callback" in sso("oidc").get(OIDC).text

    def test_a_source_is_changed(self, roots, make, stored):
        make()
        roots.get(LDAP)
        roots.post(
            LDAP, **FIELDS | {"bind_password": "", "login_attributes": "uid, mail", "starttls": "", "group_depth": "3"}
        )
        changed = stored("ldap", "corp")
        assert (
            changed["login_attributes"],
            changed["group_depth"],
            changed["bind_password"],
            "starttls" in changed,
        ) == (
            ["uid", "mail"],
            3,
            settings_store.MASK,
            False,
        )

    def test_an_emptied_field_has_its_default_again(self, roots, make, stored):
        make(group_depth="3", user_filter='""')
        assert stored("ldap", "corp")["user_filter"] == ""
        roots.get(LDAP)
        roots.post(LDAP, **FIELDS | {"bind_password": "", "group_depth": "", "user_filter": ""})
        assert {"group_depth", "user_filter"} & stored("ldap", "corp").keys() == set()

    def test_a_source_is_deleted(self, roots, make, names):
        make()
        assert "data-confirm" in roots.get(LDAP).text
        assert roots.post(f"{LDAP}/delete").status_code == 303
        assert (names(), roots.get(LDAP).status_code) == ([], 404)

    def test_a_source_in_the_chain_is_not_deleted(self, roots, make, names):
        make()
        roots.get("/admin/settings/sources")
        roots.post("/admin/settings/sources", value="local,corp")
        roots.get(LDAP)
        answer = roots.post(f"{LDAP}/delete")
        assert (answer.status_code, "there is no source corp" in answer.text, names()) == (400, True, ["ldap.corp"])


class TestWrongValues:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", "Corp!"),
            ("name", "x" * 10_000),
            ("name", "corp\u202e"),
            ("name", "local"),
            ("urls", ""),
            ("urls", "http://x"),
            ("urls", "<script>"),
            ("base", ""),
            ("base", "<script>"),
            ("user_filter", "((uid=*)"),
            ("group_depth", "many"),
            ("page_size", "0"),
            ("ca_certificate", "/nowhere"),
        ],
    )
    def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_stored(self, make, names, field, value):
        page = make(**{field: value})
        assert (page.status_code, f'id="{field}-wrong"' in page.text, "<script>" in page.text, names()) == (
            400,
            True,
            False,
            [],
        )

    def test_all_that_is_wrong_is_said_at_once_and_what_was_typed_stays(self, make):
        page = make(urls="http://x", group_depth="many").text
        assert [
            word in page for word in ('id="urls-wrong"', 'id="group_depth-wrong"', 'value="http://x"', 'value="many"')
        ] == [True] * 4

    def test_fields_that_contradict_each_other_are_told_above_them(self, make):
        page = make(starttls="true")
        assert (page.status_code, "starttls is for ldap://" in page.text) == (400, True)

    def test_more_than_can_be_stored_is_refused(self, make, names):
        assert (make(admin_groups="x" * 40_000).status_code, names()) == (400, [])

    def test_hostile_words_are_escaped(self, roots, sso):
        sso("oidc", label="<script>alert(1)</script>")
        assert "<script>alert" not in roots.get(OIDC).text

    def test_a_name_that_is_taken_is_not_changed_by_the_form_for_new_ones(self, make, stored):
        make()
        page = make(base="dc=other")
        assert (page.status_code, 'id="name-wrong"' in page.text, stored("ldap", "corp")["base"]) == (
            400,
            True,
            FIELDS["base"],
        )

    def test_a_name_of_another_kind_is_told(self, make):
        make()
        page = make(
            "uaa", token_endpoint="https://x/token", userinfo_endpoint="https://x/me", client_id="x", client_secret="y"
        )
        assert (page.status_code, "corp is the name of two" in page.text) == (400, True)


class TestSecrets:
    def test_a_secret_is_never_in_a_page(self, roots, make):
        pages = [make(urls="http://wrong"), make(), roots.get(LDAP), roots.get("/admin/sources")]
        assert [FIELDS["bind_password"] in page.text for page in pages] == [False] * 4

    def test_a_changed_address_asks_for_the_secret_again(self, roots, make, stored):
        make()
        roots.get(LDAP)
        elsewhere = FIELDS | {"urls": "ldaps://evil.example.com", "bind_password": ""}
        page = roots.post(LDAP, **elsewhere)
        assert (page.status_code, 'id="bind_password-wrong">the address has changed: type it again' in page.text) == (
            400,
            True,
        )
        assert stored("ldap", "corp")["urls"] == [FIELDS["urls"]]
        assert roots.post(LDAP, **elsewhere | {"bind_password": "another"}).status_code == 303

    def test_a_secret_that_was_dropped_on_the_way_is_asked_for(self, roots, make):
        make()
        roots.get(LDAP)
        page = roots.post(LDAP, **{name: value for name, value in FIELDS.items() if name != "bind_password"})
        assert (page.status_code, 'id="bind_password-wrong"' in page.text) == (400, True)

    def test_a_service_account_is_taken_away_with_its_password(self, roots, make, stored):
        make()
        roots.get(LDAP)
        roots.post(LDAP, **FIELDS | {"bind_dn": "", "bind_password": ""})
        assert stored("ldap", "corp").keys() == {"urls", "base"}


class TestList:
    def test_each_source_has_its_kind_address_and_place(self, roots, make, sso):
        make()
        sso("oidc")
        page = roots.get("/admin/sources").text
        words = ("LDAP directory", FIELDS["urls"], "as number 1", "as number 2", "OpenID Connect", "by a button")
        assert [word for word in words if word not in page] == []

    def test_a_source_that_is_not_in_the_chain_is_told(self, roots, make):
        make()
        roots.get("/admin/settings/sources")
        roots.post("/admin/settings/sources", value="local")
        assert "never: the setting sources does not name it" in roots.get("/admin/sources").text
        assert "Nobody is asked for here" in roots.get(LDAP).text

    def test_a_row_that_does_not_open_can_still_be_taken_out(self, roots, make, built, names):
        make()
        with built.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE settings SET value = 'broken'")
        assert (roots.get("/admin/sources").status_code, roots.get(LDAP).status_code) == (200, 200)
        assert "authsvc setting unset" in roots.post(f"{LDAP}/check").text
        assert (roots.post(f"{LDAP}/delete").status_code, names()) == (303, [])

    @pytest.mark.parametrize("path", ["/admin/sources", f"{NEW}?kind=ldap", LDAP])
    def test_nobody_else_sees_them(self, bobs, path):
        assert bobs.get(path).status_code == 403


class TestFixed:
    @pytest.fixture
    def environment(self, environment):
        given = {
            "URLS": "ldaps://ldap.example.com",
            "BASE": "dc=x",
            "BIND_DN": "cn=x",
            "BIND_PASSWORD": "a-secret-of-ours",
        }
        return environment | {f"AUTHSVC_LDAP__CORP__{name}": value for name, value in given.items()}

    def test_what_the_environment_says_is_shown_and_cannot_be_changed(self, roots):
        page = roots.get(LDAP).text
        assert [
            word in page
            for word in ("fixed by the environment", "is set, and not shown", 'id="urls"', "a-secret-of-ours")
        ] == [True, True, False, False]
        assert (roots.post(LDAP, **FIELDS).status_code, roots.post(f"{LDAP}/delete").status_code) == (409, 404)

    def test_its_name_is_taken(self, make):
        assert make().status_code == 400


class TestCheck:
    def test_every_step_of_a_directory_is_shown(self, corp):
        page = corp.post(f"{LDAP}/check", headers=HTMX).text
        assert ("Everything is well." in page, "certificate and host name are good" in page) == (True, True)

    def test_a_step_that_fails_says_how_to_mend_it(self, roots, make):
        make(urls=f"ldaps://127.0.0.1:{free_port()}")
        roots.get(LDAP)
        page = roots.post(f"{LDAP}/check").text
        assert ("check host and port in urls" in page, "It does not work yet" in page) == (True, True)

    @pytest.mark.parametrize(("kind", "path"), [("uaa", UAA), ("oidc", OIDC)])
    def test_every_step_of_a_provider_is_shown(self, sso, kind, path):
        page = sso(kind).post(f"{path}/check").text
        assert ("Everything is well." in page, "our client" in page) == (True, True)

    @pytest.mark.parametrize(("kind", "path"), [("uaa", UAA), ("oidc", OIDC)])
    def test_a_wrong_client_secret_is_found(self, sso, kind, path):
        page = sso(kind, client_secret="wrong-one").post(f"{path}/check").text
        assert ("refuses our client" in page, "wrong-one" in page) == (True, False)

    @pytest.mark.parametrize(("kind", "path"), [("uaa", UAA), ("oidc", OIDC)])
    def test_a_certificate_of_another_ca_is_found(self, sso, tmp_path, kind, path):
        other = Authority(tmp_path, "other-ca").certificate
        assert "set ca_certificate" in sso(kind, ca_certificate=str(other)).post(f"{path}/check").text

    def test_a_ca_file_that_is_gone_is_told(self, sso, tmp_path):
        gone = Authority(tmp_path, "other-ca").certificate
        browser = sso("uaa", ca_certificate=str(gone))
        gone.unlink()
        page = browser.post(f"{UAA}/check")
        assert (page.status_code, "cannot be read" in page.text) == (200, True)

    def test_nobody_else_can_check(self, bobs):
        bobs.get("/account")
        assert bobs.post(f"{LDAP}/check").status_code == 403


class TestSomebody:
    def test_a_person_is_shown_with_groups_and_the_roles_that_follow(self, corp, built, root, now):
        with built.transaction() as unit:
            key = "cn=devs,ou=groups,dc=example,dc=com"
            groups.add(unit, root, AddGroup(name="developers", source="corp", key=key), now)
            members.set_role(unit, root, SetMember(project="acme", group="developers", role="developer"), now)
        page = corp.post(f"{LDAP}/person", person="bob@example.com").text
        words = (f"uid=bob,{PEOPLE}", "bob@example.com", "dn=member, 1 deep", "developer in acme", "uid=memberUid")
        assert [word for word in words if word not in page] == []

    @pytest.mark.parametrize(
        ("who", "sentence"),
        [
            ("nobody", "corp has nobody who is called nobody"),
            ("twin", "several entries of corp are called twin"),
            ("<script>", "nobody who is called &lt;script&gt;"),
            ("", "corp has nobody"),
        ],
    )
    def test_who_cannot_be_shown_is_told(self, corp, who, sentence):
        page = corp.post(f"{LDAP}/person", person=who)
        assert (page.status_code, sentence in page.text) == (200, True)

    def test_a_directory_that_is_down_is_told(self, roots, make):
        make(urls=f"ldaps://127.0.0.1:{free_port()}")
        roots.get(LDAP)
        assert "the directory corp does not answer" in roots.post(f"{LDAP}/person", person="bob").text

    def test_providers_cannot_be_asked(self, sso):
        assert sso("uaa").post(f"{UAA}/person", person="bob").status_code == 404

    def test_nobody_else_can_ask(self, bobs):
        bobs.get("/account")
        assert bobs.post(f"{LDAP}/person", person="bob").status_code == 403
