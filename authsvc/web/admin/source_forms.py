"""The form of a source of identity: its fields, made from the section of the settings, and what is typed in them.

Not here: the pages (sources.py), what a source may say (settings/sections.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from flask_babel import gettext, lazy_gettext

from authsvc.core.settings_store import Source
from authsvc.errors import Invalid, say
from authsvc.settings import ACTIVE_DIRECTORY, KINDS, separator

AD = "active-directory"
NAMES = {
    "ldap": lazy_gettext("LDAP directory"),
    AD: lazy_gettext("Active Directory"),
    "uaa": lazy_gettext("UAA / password grant"),
    "oidc": lazy_gettext("OpenID Connect"),
}
"""The kinds that a source can be made of."""
NOTHING = '""'
"""Is typed for an empty value where leaving the field empty would be the default."""
DROPPED = say("type it again, or leave it empty: it was dropped when your own password was asked for")

_CA = (
    lazy_gettext("CA certificate"),
    lazy_gettext("The path of a PEM file on this server; empty: the well-known CAs."),
)
_ADMIN_GROUPS = (
    lazy_gettext("Groups of administrators"),
    lazy_gettext("Who is in one of these is a system administrator here. Semicolons between them."),
)
_ISSUER = (
    lazy_gettext("Issuer"),
    lazy_gettext("The provider's address, letter by letter as its discovery document has it."),
)
_CLIENT_ID = (lazy_gettext("Client ID"), lazy_gettext("As this service is registered at the provider."))
_GROUPS_CLAIM = (lazy_gettext("Claim with the groups"), lazy_gettext("Groups can be given roles here."))
_SCOPES = (lazy_gettext("Scopes"), lazy_gettext("What is asked for, with commas between them."))
_NAME_CLAIM = (lazy_gettext("Claim with the user name"), lazy_gettext("What people are called here."))

Words = Mapping[str, tuple[str, str]]
ESSENTIALS: Mapping[str, Words] = {
    "ldap": {
        "urls": (
            lazy_gettext("Servers"),
            lazy_gettext("ldaps://HOST, or ldap://HOST with StartTLS; several with commas, the first one first."),
        ),
        "starttls": (lazy_gettext("StartTLS"), lazy_gettext("Encrypts connections that begin with ldap://.")),
        "ca_certificate": _CA,
        "bind_dn": (
            lazy_gettext("Service account (DN)"),
            lazy_gettext("It searches for people and groups. Empty: anonymously."),
        ),
        "bind_password": (lazy_gettext("Password of the service account"), ""),
        "base": (lazy_gettext("Base"), lazy_gettext("The DN below which people and groups are.")),
        "user_filter": (lazy_gettext("Filter for people"), lazy_gettext("Only who matches it can log in.")),
        "login_attributes": (
            lazy_gettext("Attributes to log in with"),
            lazy_gettext("What may be typed as the name, with commas between them."),
        ),
        "name_attribute": (
            lazy_gettext("Attribute with the user name"),
            lazy_gettext("What people are called here, whatever they typed."),
        ),
        "domain": (
            lazy_gettext("Domain"),
            lazy_gettext("Active Directory's short name, so that EXAMPLE\\alice can be typed."),
        ),
        "group_matchers": (
            lazy_gettext("How people belong to groups"),
            lazy_gettext("Attribute of the person=attribute of the group; dn is the DN of either."),
        ),
        "group_depth": (lazy_gettext("Groups in groups"), lazy_gettext("How many levels are followed.")),
        "admin_groups": _ADMIN_GROUPS,
    },
    "uaa": {
        "issuer": _ISSUER,
        "token_endpoint": (
            lazy_gettext("Token endpoint"),
            lazy_gettext("In place of the issuer, for a provider without a discovery document."),
        ),
        "userinfo_endpoint": (lazy_gettext("Userinfo endpoint"), lazy_gettext("Together with the token endpoint.")),
        "client_id": _CLIENT_ID,
        "client_secret": (lazy_gettext("Client secret"), ""),
        "ca_certificate": _CA,
        "scopes": _SCOPES,
        "name_claim": _NAME_CLAIM,
        "groups_claim": _GROUPS_CLAIM,
        "admin_groups": _ADMIN_GROUPS,
    },
    "oidc": {
        "issuer": _ISSUER,
        "client_id": _CLIENT_ID,
        "client_secret": (lazy_gettext("Client secret"), ""),
        "label": (lazy_gettext("Words on the button"), lazy_gettext("On the login page; empty: its name.")),
        "ca_certificate": _CA,
        "scopes": _SCOPES,
        "name_claim": _NAME_CLAIM,
        "groups_claim": _GROUPS_CLAIM,
        "admin_groups": _ADMIN_GROUPS,
    },
}
"""The fields that a source of each kind seldom does without: what each is called, and what it means."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form.

    Args:
        label: "" where it is called by its name alone.
        default: what it is when it is left empty, as it would be typed.
        options: what can be chosen: what is sent, and what is read.
    """

    name: str
    control: Literal["text", "secret", "choice"]
    label: str
    note: str
    default: str
    is_needed: bool
    options: Sequence[tuple[str, str]] = ()


def essential(kind: str, directory: str = "") -> list[Field]:
    """The fields that come first.

    Args:
        directory: the type of a directory, `active-directory` or none, on which the defaults depend.
    """
    return [_field(kind, name, directory, words) for name, words in ESSENTIALS[kind].items()]


def others(kind: str, directory: str = "") -> list[Field]:
    """All other fields, which are called by the names of their settings."""
    names = KINDS[kind].section.model_fields.keys() - ESSENTIALS[kind].keys()
    return [_field(kind, name, directory) for name in KINDS[kind].section.model_fields if name in names]


def in_text(kind: str, name: str, value: object) -> str:
    """A field's value as it is typed."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list() | tuple():
            return separator(KINDS[kind].section, name).join(map(str, value))
    return str(value)


def shown(source: Source) -> dict[str, str]:
    """What stands in the form of a source: what is set, but the secret."""
    return {name: text or NOTHING for name, text in set_fields(source) if name != KINDS[source.kind].secret}


def set_fields(source: Source) -> Iterator[tuple[str, str]]:
    """The fields that are no defaults, in their order, as they are typed; a secret that is set is a mask."""
    for name in KINDS[source.kind].section.model_fields:
        if name in source.changed and source.fields[name] is not None:
            yield name, in_text(source.kind, name, source.fields[name])


def read(kind: str, form: Mapping[str, str]) -> dict[str, object]:
    """The fields of a source as a form gives them (`settings_store.SetSource`); empty is the default.

    Raises:
        Invalid: the form has no secret at all, not even an empty one, which then must not be taken for unchanged.
    """
    secret = KINDS[kind].secret
    if secret not in form:
        raise Invalid({secret: DROPPED})
    names = [name for name in KINDS[kind].section.model_fields if name in form and name != secret]
    fields: dict[str, object] = {name: _value(form[name].strip()) for name in names}
    # A password goes with its account, and an empty field cannot say that it is to go.
    is_left = kind == "ldap" and "bind_dn" in fields and not fields["bind_dn"] and not form[secret]
    return fields | {secret: None if is_left else form[secret]}


def _value(text: str) -> str | None:
    return "" if text == NOTHING else text or None


def _field(kind: str, name: str, directory: str, words: tuple[str, str] = ("", "")) -> Field:
    info = KINDS[kind].section.model_fields[name]
    default = _default(kind, name, directory)
    options = _options(info.annotation, default)
    control: Literal["text", "secret", "choice"] = "choice" if options else "text"
    control = "secret" if name == KINDS[kind].secret else control
    return Field(name, control, words[0], words[1], default, info.is_required() and control != "secret", options)


def _default(kind: str, name: str, directory: str) -> str:
    preset = ACTIVE_DIRECTORY if kind == "ldap" and directory == AD else {}
    info = KINDS[kind].section.model_fields[name]
    return in_text(kind, name, preset.get(name, None if info.is_required() else info.default))


def _options(annotation: Any, default: str) -> list[tuple[str, str]]:  # noqa: ANN401 (a type)
    switch = {"true": gettext("yes, on"), "false": gettext("no, off")}
    if annotation is bool:
        words: Mapping[str, str] = switch
    elif get_origin(annotation) is Literal:
        words = {value: value for value in get_args(annotation)}
    else:
        return []
    return [("", gettext("as by default: %(value)s", value=words[default])), *words.items()]
