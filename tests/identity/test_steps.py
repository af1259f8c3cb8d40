import pytest

from authsvc.errors import Sentence, Unavailable, say
from authsvc.identity.steps import UNREACHABLE, Trial, client_is_good


@pytest.fixture
def attempt():
    """The steps of a server whose first one fails for that reason."""

    def attempt(reason: str) -> list:
        trial = Trial("ldap://x", "urls", {"one": "check it"}, UNREACHABLE)

        def fail() -> None:
            raise Unavailable("it does not answer as it should", reason)

        def work() -> None:
            trial.take("one", fail, str)
            trial.take("two", lambda: None, str)

        return trial.run(work)

    return attempt


def test_a_step_that_is_well_says_what_it_came_to():
    trial = Trial("ldap://x", "urls", {}, {})
    (step,) = trial.run(lambda: trial.take("one", lambda: 7, lambda found: f"found {found}"))
    assert (step.server, step.step, step.is_well, step.message, step.mend) == ("ldap://x", "one", True, "found 7", "")


def test_the_first_step_that_fails_is_the_last_with_its_reason(attempt):
    assert [(one.step, one.is_well, one.message) for one in attempt("no such thing")] == [
        ("one", False, "no such thing")
    ]


@pytest.mark.parametrize(
    ("reason", "mend"),
    [
        ("no such thing", "check it"),
        ("Hostname mismatch", "write a name into urls that stands in the server's certificate"),
        ("certificate has expired", "renew the server's certificate"),
        (
            "unable to get local issuer certificate",
            "set ca_certificate to the file of the CA that issued the server's certificate",
        ),
        ("ConnectTimeout: ", "check the address, this machine's DNS and the firewall: nothing answers there in time"),
    ],
)
def test_a_reason_leads_to_a_way_to_mend_it(attempt, reason, mend):
    assert attempt(reason)[0].mend == mend


@pytest.mark.parametrize(("answer", "said"), [("", "a token"), ("unauthorized_client", "unauthorized_client")])
def test_a_client_that_is_taken_is_told_with_the_providers_word(answer, said):
    sentence = client_is_good(answer)
    assert (sentence, isinstance(sentence, Sentence)) == (
        f"client_id and client_secret are good (answer: {said})",
        True,
    )


def test_a_reason_stays_a_sentence_that_a_page_can_translate(attempt):
    assert attempt(say("%(what)s: %(why)s", what=say("TLS fails"), why="x"))[0].message.template == "%(what)s: %(why)s"
