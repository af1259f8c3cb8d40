import pytest

from authsvc.errors import Sentence
from authsvc.identity.ldap_probe import probe
from tests.conftest import free_port
from tests.identity import servers
from tests.identity.servers import BASE, Authority

STEPS = ["resolve", "connect", "TLS", "bind", "search", "people", "groups"]


def last(settings) -> tuple[str, str]:
    """The step that failed, and how it is to be mended."""
    steps = list(probe(settings))
    assert [step.is_well for step in steps] == [True] * (len(steps) - 1) + [False]
    return steps[-1].step, steps[-1].mend


def test_every_step_of_the_example_is_well(configure):
    steps = list(probe(configure()))
    assert ([step.step for step in steps if step.is_well], {step.mend for step in steps}) == (STEPS, {""})


def test_a_step_says_what_it_found_and_how_long_it_took(configure):
    people = list(probe(configure()))[5]
    assert (people.message, people.milliseconds > 0) == (f"found in ou=people,{BASE}: 10 or more", True)


def test_what_a_step_says_can_be_translated(configure, plain):
    steps = [*probe(configure()), *probe(plain(bind_dn="", bind_password=None))]
    said = [text for step in steps[1:] for text in (step.step, step.message, step.mend) if text]
    assert [text for text in said if not isinstance(text, Sentence) and "127.0.0.1" not in text] == []


def test_every_server_is_tried(configure, directory):
    urls = (f"ldaps://127.0.0.1:{free_port()}", directory.tls_url)
    steps = list(probe(configure(urls=urls)))
    assert ([step.server for step in steps if not step.is_well], len(steps)) == ([urls[0]], 2 + len(STEPS))


def test_a_connection_without_tls_is_told(plain):
    assert list(probe(plain()))[2].message == "off: passwords cross the network in the clear"


def test_a_certificate_that_is_not_checked_is_told(configure):
    steps = list(probe(configure(verify=False, ca_certificate=None)))
    assert steps[2].message == "on, the certificate is not checked"


def test_groups_are_not_searched_where_they_are_not_asked_for(configure):
    steps = list(probe(configure(group_matchers=(), group_depth=0, admin_groups=())))
    assert [step.step for step in steps] == STEPS[:-1]


def test_without_a_service_account_nothing_is_searched(configure):
    settings = configure(bind_dn="", bind_password=None, bind_template="uid={name},dc=x")
    assert [step.step for step in probe(settings)] == STEPS[:3]


@pytest.mark.parametrize(
    ("changes", "step", "mend"),
    [
        ({"urls": ("ldaps://ldap.invalid",)}, "resolve", "host name"),
        ({"ca_certificate": None}, "TLS", "set ca_certificate"),
        ({"bind_password": "wrong"}, "bind", "check bind_dn and bind_password"),
        ({"base": "dc=wrong"}, "search", "check base"),
        ({"user_base": f"ou=policies,{BASE}"}, "people", "check user_base"),
        ({"user_filter": "(uid=nobody)"}, "people", "check user_base and user_filter"),
        ({"group_base": f"ou=nowhere,{BASE}"}, "groups", "check group_base"),
    ],
)
def test_a_mistake_is_found_at_its_step_with_a_way_to_mend_it(configure, changes, step, mend):
    failed, sentence = last(configure(**changes))
    assert (failed, mend in sentence) == (step, True)


def test_a_server_that_is_not_there_is_found(configure):
    assert last(configure(urls=(f"ldaps://127.0.0.1:{free_port()}",)))[0] == "connect"


def test_a_name_that_is_not_in_the_certificate_is_found(configure, directory):
    urls = (directory.tls_url.replace("127.0.0.1", "localhost"),)
    assert last(configure(urls=urls)) == ("TLS", "write a name into urls that stands in the server's certificate")


def test_a_certificate_of_another_ca_is_found(configure, tmp_path):
    other = Authority(tmp_path, "other-ca").certificate
    assert last(configure(ca_certificate=other))[0] == "TLS"


def test_a_port_that_does_not_speak_tls_is_found(configure, directory):
    failed, sentence = last(configure(urls=(directory.url.replace("ldap:", "ldaps:"),)))
    assert (failed, "636" in sentence) == ("TLS", True)


def test_a_server_that_does_not_answer_is_found(plain):
    with servers.stub(servers.silent) as server:
        assert last(plain(urls=(server.url,), timeout=0.3, connect_timeout=0.3))[0] == "bind"


def test_an_anonymous_search_that_finds_nothing_is_found(plain):
    assert last(plain(bind_dn="", bind_password=None))[0] == "search"
