"""The people and groups of the OpenLDAP server, as LDIF; each password is `PASSWORD` where nothing else is said."""

import base64
from collections.abc import Iterator

from tests.factories import PASSWORD
from tests.identity.servers import BASE, LIMITED, SERVICE, SERVICE_PASSWORD

PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
NAMES = ("alice", "bob", "charlie", "jörg", "a*", "j(x)*", "comma,name", "back\\slash", "moving", "leaving", "many")
EIGHT_BIT, LONG = "pässwörd-\xff", "ü" * 1_000
ANCIENT = "20000101000000Z"


def person(name: str, *, ou: str = PEOPLE, password: str = PASSWORD, **more: str) -> str:
    """A person's entry."""
    rdn = "uid=" + name.replace("\\", "\\5c").replace(",", "\\2c").replace("+", "\\2b")
    required = {"uid": name, "cn": name, "sn": name, "mail": f"{name.encode('ascii', 'ignore').decode()}@example.com"}
    secret = {"userPassword": password} if password else {}
    return entry(f"{rdn},{ou}", objectClass="inetOrgPerson", **required | secret | more)


def group(name: str, *members: str, kind: str = "groupOfNames", attribute: str = "member", **more: str) -> str:
    """A group's entry."""
    values = [("objectClass", kind), ("cn", name), *((attribute, one) for one in members)]
    return entry(f"cn={name},{GROUPS}", *values, **more)


def entry(dn: str, *values: tuple[str, str], **attributes: str) -> str:
    """An entry in LDIF."""
    lines = [("dn", dn), *values, *attributes.items()]
    return "".join(f"{name}:: {base64.b64encode(value.encode()).decode()}\n" for name, value in lines) + "\n"


def ldif() -> str:
    """All of it, and three hundred people more."""
    return "".join([*frame(), *_people(), *_groups(), *(person(f"person{one}") for one in range(300))])


def frame() -> Iterator[str]:
    """What every directory of these tests begins with: the tree, the service's account, policies."""
    yield entry(BASE, ("objectClass", "dcObject"), ("objectClass", "organization"), o="Example", dc="example")
    for name in ("people", "groups", "services", "policies", "open", "direct", "referred"):
        yield entry(f"ou={name},{BASE}", objectClass="organizationalUnit", ou=name)
    yield entry(f"ou=twins,{PEOPLE}", objectClass="organizationalUnit", ou="twins")
    for dn in (SERVICE, LIMITED):
        yield entry(
            dn, ("objectClass", "organizationalRole"), ("objectClass", "simpleSecurityObject"),
            cn=dn.split(",")[0].removeprefix("cn="), userPassword=SERVICE_PASSWORD,
        )  # fmt: skip
    for name, values in (("default", {}), ("ageing", {"pwdMaxAge": "86400"}), ("strict", {"pwdMustChange": "TRUE"})):
        yield entry(
            f"cn={name},ou=policies,{BASE}", ("objectClass", "device"), ("objectClass", "pwdPolicy"),
            cn=name, pwdAttribute="userPassword", pwdLockout="TRUE", **values,
        )  # fmt: skip


def _people() -> Iterator[str]:
    for name in NAMES:
        yield person(name, departmentNumber="7" if name == "charlie" else "0")
    yield person("eightbit", password=EIGHT_BIT)
    yield person("long", password=LONG)
    yield person("nopassword", password="")
    yield person("twin")
    yield person("twin", ou=f"ou=twins,{PEOPLE}")
    yield person("locked", pwdAccountLockedTime="000001010000Z")
    yield person("expired", pwdPolicySubentry=f"cn=ageing,ou=policies,{BASE}", pwdChangedTime=ANCIENT)
    yield person("must", pwdPolicySubentry=f"cn=strict,ou=policies,{BASE}", pwdReset="TRUE")
    yield person("openly", ou=f"ou=open,{BASE}")
    yield person("direct", ou=f"ou=direct,{BASE}")
    yield person("di,rect+", ou=f"ou=direct,{BASE}")


def _groups() -> Iterator[str]:
    bob, charlie = f"uid=bob,{PEOPLE}", f"uid=charlie,{PEOPLE}"
    yield group("devs", bob, f"cn=board,{GROUPS}")
    yield group("leads", f"cn=devs,{GROUPS}")
    yield group("board", f"cn=leads,{GROUPS}")
    yield group("uniques", bob, kind="groupOfUniqueNames", attribute="uniqueMember")
    yield group("posix", "bob", kind="posixGroup", attribute="memberUid", gidNumber="1000")
    yield group("both", bob, charlie)
    yield group("registry-admins", f"uid=alice,{PEOPLE}")
    yield group("seven", f"uid=nobody,{PEOPLE}", businessCategory="7")
    yield entry(
        f"cn=directors,ou=direct,{BASE}", objectClass="groupOfNames", cn="directors",
        member=f"uid=direct,ou=direct,{BASE}",
    )  # fmt: skip
    for number in range(200):
        yield group(f"many{number}", f"uid=many,{PEOPLE}")
