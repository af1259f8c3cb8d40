import pytest

from authsvc.domain import trusts
from authsvc.domain.trusts import MAX_RULES, MAX_VALUE, SEPARATORS, SHARED, Rule, Trust
from authsvc.errors import Invalid

GITHUB, GITLAB = SHARED
PRIVATE = "https://kubernetes.default.svc.cluster.local"
SUB = "repo:acme/app:ref:refs/heads/main"


def trust(*rules: str, issuer: str = PRIVATE, audience: str = "registry.example.com") -> Trust:
    return Trust(0, issuer, audience, "", tuple(map(trusts.parse_rule, rules)))


# What is an identity token


@pytest.mark.parametrize("secret", ["eyJhbGciOiJub25lIn0.e30.", "eyJ.a.b", "eyJ0eXAi.e30.a-_9"])
def test_a_jwt_is_known_by_its_form(secret):
    assert trusts.is_identity_token(secret)


@pytest.mark.parametrize(
    "secret",
    ["", "asr_x", "eyJ", "eyJ.a", "eyJ.a.b.c", "eyJ..b", "eyJ.a.b ", "eyJ.a.b\n", "eyJ.a+.b", "xeyJ.a.b", "eyJ.é.b"],
)
def test_what_has_another_form_is_none(secret):
    assert not trusts.is_identity_token(secret)


# Rules


def test_a_rule_is_read_up_to_the_first_equals_sign():
    assert trusts.parse_rule("sub=a=b") == Rule("sub", "a=b")


@pytest.mark.parametrize("text", ["", "sub", "sub=", "=x", "sub=***", "sub=a\nb", "s\tub=a", "sub=" + "x" * 256])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(Invalid, match="NAME=PATTERN"):
        trusts.parse_rule(text)


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "iat", "nbf", "jti"])
def test_what_is_always_checked_takes_no_rule(claim):
    with pytest.raises(Invalid, match="always checked"):
        trusts.parse_rule(f"{claim}=x")


def test_rules_are_stored_and_read_again():
    rules = (Rule("sub", SUB), Rule("ref", 'refs/"é"/*'))
    assert trusts.load(trusts.dump(rules)) == rules


def test_a_trust_is_one_line_for_people():
    assert str(Trust(7, PRIVATE, "aud", "https://k/keys", (Rule("sub", SUB),))) == (
        f"{PRIVATE} aud=aud keys=https://k/keys sub={SUB}"
    )


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (SUB, SUB),
        ("repo:acme/*:ref:refs/heads/main", SUB),
        ("repo:acme/app:ref:refs/heads/*", SUB),
        ("repo:acme/**", SUB),
        ("repo:acme/**", "repo:acme/app:pull_request"),
        ("refs/tags/v*", "refs/tags/v1.2.3"),
        ("refs/heads/**", "refs/heads/feature/x"),
        ("system:serviceaccount:ci:*", "system:serviceaccount:ci:builder"),
        ("acme/app/.github/workflows/*@refs/heads/main", "acme/app/.github/workflows/x.yml@refs/heads/main"),
        ("true", True),
        ("false", False),
        ("7", 7),
        ("Production EU", "Production EU"),
    ],
)
def test_a_claim_fits(pattern, value):
    assert trusts.unmet([Rule("x", pattern)], {"x": value}) is None


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("repo:acme/*", "repo:acme/app:pull_request"),
        ("repo:acme/*", "repo:acme/app:environment:x"),
        ("repo:acme/*", "repo:acme/a/b"),
        ("repo:acme/app", "repo:acme/app2"),
        ("repo:acme/app", "xrepo:acme/app"),
        ("repo:acme/app", "repo:ACME/app"),
        ("repo:acme/app", "repo:acme/app\n"),
        ("repo:acme/app", "repo:acme/app "),
        ("refs/heads/*", "refs/heads/feature/x"),
        ("refs/tags/v*", "refs/tags/release@v1"),
        ("acme/app/w/*@refs/heads/main", "acme/app/w/x@evil@refs/heads/main"),
        ("system:serviceaccount:ci:*", "system:serviceaccount:ci:builder:x"),
        ("system:serviceaccount:*:builder", "system:serviceaccount:a:b:builder"),
        ("refs.heads", "refs/heads"),
        ("a?c", "abc"),
        ("[abc]", "a"),
        ("True", True),
        ("1", True),
        ("", ""),
        ("**", "x" * (MAX_VALUE + 1)),
    ],
)
def test_a_claim_does_not_fit(pattern, value):
    assert "the rule wants" in trusts.unmet([Rule("x", pattern or "y")], {"x": value})


@pytest.mark.parametrize("value", [[SUB], [], {"a": 1}, {}, None, 1.5])
def test_a_claim_that_is_no_text_fits_nothing(value):
    assert "compare texts" in trusts.unmet([Rule("x", "**")], {"x": value})


def test_all_rules_must_hold():
    rules = [Rule("a", "1"), Rule("b", "2"), Rule("c", "3")]
    assert trusts.unmet(rules, {"a": "1", "b": "2"}) == "claim c is missing, the rule wants 3"
    assert trusts.unmet(rules, {"a": "1", "b": "x", "c": "3"}) == 'claim b is "x", the rule wants 2'


def test_without_rules_everything_fits():
    assert trusts.unmet([], {}) is None


def test_what_is_shown_can_be_written_anywhere():
    said = trusts.shown("é\ud800\n" + "x" * 500)
    assert (said.isascii(), said.isprintable(), len(said) < 120) == (True, True, True)


# Which trusts can be entered


@pytest.mark.parametrize(
    ("issuer", "rule"),
    [
        (PRIVATE, "sub=system:serviceaccount:ci:builder"),
        (PRIVATE, "sub=system:serviceaccount:*:builder"),
        (GITHUB, f"sub={SUB}"),
        (GITHUB, "sub=repo:acme/*:ref:refs/heads/main"),
        (GITHUB, "sub=repo:acme@12/app@34:ref:refs/heads/main"),
        (GITHUB, "repository=acme/app"),
        (GITHUB, "repository=acme/*"),
        (GITHUB, "repository_owner=acme"),
        (GITHUB, "repository_id=74"),
        (GITHUB, "workflow_ref=acme/app/.github/workflows/*@refs/heads/main"),
        (GITLAB, "sub=project_path:acme/app:ref_type:branch:ref:main"),
        (GITLAB, "project_path=acme/**"),
        (GITLAB, "namespace_id=72"),
    ],
)
def test_one_rule_that_says_who_is_enough(issuer, rule):
    trusts.check(trust(rule, issuer=issuer), whole_issuer=False)


@pytest.mark.parametrize("whole_issuer", [False, True])
@pytest.mark.parametrize(
    ("issuer", "rule"),
    [
        (GITHUB, "ref=refs/heads/main"),
        (GITHUB, "environment=production"),
        (GITHUB, "workflow=release"),
        (GITHUB, "job_workflow_ref=acme/shared/.github/workflows/x.yml@refs/heads/main"),
        (GITHUB, "actor=alice"),
        (GITHUB, "sub=*"),
        (GITHUB, "sub=**"),
        (GITHUB, "sub=**/app:ref:refs/heads/main"),
        (GITHUB, "sub=repo:*/app:ref:refs/heads/main"),
        (GITHUB, "sub=repo:acme*/app:ref:refs/heads/main"),
        (GITHUB, "sub=repo:acme**"),
        (GITHUB, "sub=environment:production/eu"),
        (GITHUB, "repository=*/app"),
        (GITHUB, "repository=acme*/app"),
        (GITHUB, "repository_owner=acme*"),
        (GITHUB, "repository_owner=*"),
        (GITHUB, "repository_id=*"),
        (GITLAB, "sub=repo:acme/app"),
        (GITLAB, "sub=project_path:*/app:ref_type:branch:ref:main"),
        (GITLAB, "project_path=acme*/app"),
        (GITLAB, "ref=main"),
    ],
)
def test_of_an_issuer_that_everybody_has_a_rule_must_say_whose_jobs_are_meant(issuer, rule, whole_issuer):
    with pytest.raises(Invalid, match="whose jobs are meant"):
        trusts.check(trust(rule, issuer=issuer), whole_issuer=whole_issuer)


@pytest.mark.parametrize("rules", [[], ["sub=*"], ["sub=**", "ref=*/*:*@**"]])
def test_without_a_rule_that_says_something_a_private_issuer_must_be_meant_as_a_whole(rules):
    with pytest.raises(Invalid, match="everybody comes in"):
        trusts.check(trust(*rules), whole_issuer=False)
    trusts.check(trust(*rules), whole_issuer=True)


@pytest.mark.parametrize("audience", ["", "a\n", "x" * 256])
def test_the_audience_is_needed(audience):
    with pytest.raises(Invalid, match="for whom"):
        trusts.check(trust("sub=x", audience=audience), whole_issuer=True)


def test_a_claim_has_one_rule():
    with pytest.raises(Invalid, match="two rules for ref"):
        trusts.check(trust("sub=x", "ref=a", "ref=b"), whole_issuer=True)


def test_rules_have_a_bound():
    with pytest.raises(Invalid, match="at most"):
        trusts.check(trust(*(f"c{number}=x" for number in range(MAX_RULES + 1))), whole_issuer=True)


# Addresses


@pytest.mark.parametrize(
    "address", [GITHUB, PRIVATE, "https://[::1]:6443/x", "https://h:8443/auth/realms/ci", "https://h/"]
)
def test_the_address_of_an_issuer_stays_as_it_is(address):
    assert trusts.parse_url(address, "issuer", allow_http=False) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://",
        "https:///x",
        "https://h:0",
        "https://h:99999",
        "https://[::1",
        "https://user:pass@h",
        "https://h?x=1",
        "https://h#x",
        "https://h/a b",
        "https://h/\n",
        "https://h\\@evil",
        "https://é",
        "authsvc",
        "//h/x",
        "https://" + "h" * 255,
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(Invalid, match="issuer: "):
        trusts.parse_url(address, "issuer", allow_http=True)


@pytest.mark.parametrize(("address", "allowed"), [("http://h/x", True), ("ftp://h/x", False), ("file://h/x", False)])
def test_plain_http_is_taken_where_it_is_allowed_alone(address, allowed):
    with pytest.raises(Invalid, match="begins with https"):
        trusts.parse_url(address, "issuer", allow_http=not allowed)


def test_separators_are_no_pattern():
    assert "*" not in SEPARATORS
