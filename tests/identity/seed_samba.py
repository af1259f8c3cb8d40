"""Fills a domain with people and groups. Run by Debian's Python: seed_samba.py SMB_CONF DIRECTORY PASSWORD."""

import sys

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

ANCIENT = "132223104000000000"
UNTOUCHED_TIMES = ["local_oid:1.3.6.1.4.1.7165.4.3.20:0"]

config, directory, password = sys.argv[1:]
parameters = LoadParm()
parameters.load(config)
domain = SamDB(url=f"{directory}/private/sam.ldb", session_info=system_session(parameters), lp=parameters)
staff = f"OU=Staff,{domain.domain_dn()}"


def modify(name: str, controls: "list[str] | None" = None, **values: str) -> None:
    message = ldb.Message(ldb.Dn(domain, f"CN={name},{staff}"))
    for attribute, value in values.items():
        message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
    domain.modify(message, controls=controls or [])


domain.set_pwdProperties("0")
domain.set_minPwdLength("1")
domain.add({"dn": staff, "objectClass": "organizationalUnit"})
for name in ("authsvc", "bob", "alice", "disabled", "expired", "must", "old", "jörg", "moving"):
    domain.newuser(name, password, userou="OU=Staff", mailaddress=f"{name}@example.com")
modify("disabled", userAccountControl="514")
modify("expired", accountExpires=ANCIENT)
modify("must", pwdLastSet="0")
modify("old", controls=UNTOUCHED_TIMES, pwdLastSet=ANCIENT)
for group, member in (("leaf", "bob"), ("mid", "leaf"), ("top", "mid"), ("mates", "alice")):
    domain.newgroup(group, groupou="OU=Staff")
    domain.add_remove_group_members(group, [member], add_members_operation=True)
domain.add_remove_group_members("leaf", ["top"], add_members_operation=True)
