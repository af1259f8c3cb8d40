import pytest

GITHUB = "https://token.actions.githubusercontent.com"
ADD = f"robot trust add acme+ci --issuer {GITHUB} --audience registry.example.com"
SUB, REF = "sub=repo:acme/app:ref:refs/heads/main", "ref=refs/heads/*"


@pytest.fixture
def run(run):
    """Run `authsvc`, where there is a robot `acme+ci`."""
    assert run("robot add ci --project acme --allow acme:repository:pull,push").exit_code == 0
    return run


def test_a_trust_is_added_with_its_rules(run, read):
    done = run(f"{ADD} --claim {SUB} --claim {REF}")
    assert (done.exit_code, done.output) == (
        0,
        f"robot$acme+ci trusts {GITHUB}; docker login -u 'robot$acme+ci' takes its identity tokens as the password\n",
    )
    assert read("robot trust list") == [
        {
            "id": 1,
            "robot": "robot$acme+ci",
            "issuer": GITHUB,
            "audience": "registry.example.com",
            "claims": f"{SUB} {REF}",
            "keys": "",
        }
    ]


def test_a_trust_is_added_for_scripts(run, read):
    made = read(f"{ADD} --claim {SUB}".replace("acme+ci", "robot$acme+ci"))
    assert made == {"id": 1, "robot": "robot$acme+ci", "issuer": GITHUB}


def test_trusts_are_listed_for_people(run):
    run(f"{ADD} --claim {SUB}")
    head, row = run("robot trust list acme+ci").output.splitlines()
    assert head.split() == ["ID", "ROBOT", "ISSUER", "AUDIENCE", "CLAIMS", "KEYS"]
    assert row.split() == ["1", "robot$acme+ci", GITHUB, "registry.example.com", SUB]


def test_a_robot_is_listed_with_whom_it_trusts(run, read):
    run(f"{ADD} --claim {SUB}")
    assert [row["trusts"] for row in read("robot list")] == [GITHUB]


def test_a_trust_is_removed(run, read):
    run(f"{ADD} --claim {SUB}")
    assert run("robot trust remove acme+ci 1").output == "removed trust 1 of acme+ci\n"
    assert (read("robot trust list"), run("robot trust list").output) == ([], "no trusts\n")


def test_what_was_done_is_the_consoles(run, actors):
    run(f"{ADD} --claim {SUB}")
    run("robot trust remove robot$acme+ci 1")
    assert actors()[-2:] == [
        ("console", "robot.trust.add", "acme+ci"),
        ("console", "robot.trust.remove", "acme+ci"),
    ]


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        (ADD, 1, "whose jobs are meant"),
        (f"{ADD} --claim ref=refs/heads/main", 1, "whose jobs are meant"),
        (f"{ADD} --claim sub", 1, "NAME=PATTERN"),
        (f"{ADD} --claim {SUB} --jwks-url http://x/keys", 1, "begins with https"),
        (ADD.replace("acme+ci", "nobody") + f" --claim {SUB}", 1, "there is no robot nobody"),
        (f"robot trust add acme+ci --issuer {GITHUB} --claim {SUB}", 2, "--audience"),
        (f"robot trust add acme+ci --audience x --claim {SUB}", 2, "--issuer"),
        ("robot trust remove acme+ci 1", 1, "no trust 1"),
        ("robot trust list nobody", 1, "there is no robot nobody"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(run, line, code, sentence):
    done = run(line)
    assert (done.exit_code, sentence in done.stderr) == (code, True), done.stderr


def test_a_private_issuer_can_be_trusted_as_a_whole(run):
    line = "robot trust add acme+ci --issuer http://ci.local --audience x --whole-issuer"
    assert run(line, AUTHSVC_FEDERATION__ALLOW_HTTP="true").exit_code == 0
