import pytest

from authsvc.core.settings_store import MASK, Source
from authsvc.errors import Invalid
from authsvc.settings import KINDS, Origin
from authsvc.web.admin.source_forms import AD, ESSENTIALS, essential, others, read, set_fields, shown


@pytest.fixture(autouse=True)
def page(app):
    """Fields are made while a page is."""
    with app.test_request_context():
        yield


def default_of(fields, name: str) -> str:
    (found,) = [field for field in fields if field.name == name]
    return found.default


def source(**fields: object) -> Source:
    whole = KINDS["ldap"].section.model_construct().model_dump(warnings=False) | fields
    return Source("ldap", "corp", Origin.TABLE, whole, frozenset(fields))


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_a_source_has_one_field(kind):
    names = [field.name for field in essential(kind) + others(kind)]
    assert (sorted(names), len(names)) == (sorted(KINDS[kind].section.model_fields), len(set(names)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_secret_is_a_field_that_is_not_shown(kind):
    assert [field.name for field in essential(kind) if field.control == "secret"] == [KINDS[kind].secret]


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_first_has_words(kind):
    assert [field.name for field in essential(kind) if not str(field.label)] == []
    assert set(ESSENTIALS[kind]) <= set(KINDS[kind].section.model_fields)


def test_what_must_be_given_is_told():
    assert [field.name for field in essential("ldap") if field.is_needed] == ["urls", "base"]


def test_a_choice_says_what_its_default_is():
    (starttls,) = [field for field in essential("ldap") if field.name == "starttls"]
    assert [words for _, words in starttls.options] == ["as by default: no, off", "yes, on", "no, off"]


def test_a_literal_is_a_choice():
    (scope,) = [field for field in others("ldap") if field.name == "user_scope"]
    assert [value for value, _ in scope.options] == ["", "subtree", "one", "base"]


def test_active_directory_has_its_own_defaults():
    assert default_of(essential("ldap"), "login_attributes") == "uid"
    assert default_of(essential("ldap", AD), "login_attributes") == "sAMAccountName, userPrincipalName, mail"


def test_a_list_of_names_has_semicolons_because_dns_have_commas():
    groups = ["cn=a,dc=x", "cn=b,dc=x"]
    assert dict(set_fields(source(admin_groups=groups)))["admin_groups"] == "cn=a,dc=x; cn=b,dc=x"


def test_what_is_set_is_shown_and_its_secret_is_not():
    found = source(urls=["ldap://a", "ldap://b"], starttls=True, user_filter="", bind_password=MASK)
    assert shown(found) == {"urls": "ldap://a, ldap://b", "starttls": "true", "user_filter": '""'}


@pytest.mark.parametrize(
    ("typed", "value"), [("", None), ("  ", None), ('""', ""), (" (uid=*) ", "(uid=*)"), ("<script>", "<script>")]
)
def test_a_field_is_read_as_it_is_meant(typed, value):
    assert read("ldap", {"user_filter": typed, "bind_password": ""})["user_filter"] == value


def test_a_secret_is_taken_as_it_is_typed():
    assert read("uaa", {"client_secret": "  x "})["client_secret"] == "  x "


def test_a_password_leaves_with_its_account():
    assert read("ldap", {"bind_dn": "", "bind_password": ""})["bind_password"] is None
    assert read("ldap", {"bind_dn": "cn=x", "bind_password": ""})["bind_password"] == ""


def test_a_form_whose_secret_was_dropped_on_the_way_is_refused():
    with pytest.raises(Invalid, match="bind_password: type it again"):
        read("ldap", {"bind_dn": "cn=x"})


def test_what_is_no_setting_is_not_read():
    assert read("oidc", {"client_secret": "", "kind": "oidc", "nonsense": "x"}) == {"client_secret": ""}
