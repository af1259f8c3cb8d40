import pytest


def test_a_project_is_added(run, read):
    done = run("project add new")
    assert (done.exit_code, done.output, read("project list")[2]["public"]) == (0, "added private project new\n", False)


def test_a_public_project_is_added(read):
    assert read("project add new --public") == {"name": "new", "public": True}


def test_projects_are_listed_for_scripts(read):
    assert read("project list")[0] == {
        "name": "acme",
        "public": False,
        "members": 2,
        "created": "1970-01-01T00:00:00Z",
    }


def test_projects_are_listed_for_people(run):
    assert run("project list").output.splitlines() == [
        "NAME     PUBLIC  MEMBERS  CREATED",
        "acme     no      2        1970-01-01T00:00:00Z",
        "library  no      0        1970-01-01T00:00:00Z",
        "open     yes     0        1970-01-01T00:00:00Z",
    ]


@pytest.mark.parametrize(("option", "public"), [("--public", True), ("--private", False)])
def test_a_project_is_made_public_or_private(run, read, option, public):
    done = run(f"project set acme {option}")
    assert (done.exit_code, read("project list")[0]["public"]) == (0, public)


def test_a_project_is_not_set_to_nothing(run):
    assert run("project set acme").exit_code == 2


def test_a_deleted_project_leaves_its_images(run, read):
    done = run("project delete acme")
    assert (done.output, [row["name"] for row in read("project list")]) == (
        "deleted acme; its images are still in the registry\n",
        ["library", "open"],
    )


def test_a_member_is_given_a_role(run, read):
    done = run("member set acme charlie guest")
    assert (done.output, read("member list acme")[2]) == (
        "charlie is guest of acme\n",
        {"user": "charlie", "group": "", "role": "guest", "repositories": "**", "until": "", "enabled": True},
    )


def test_a_role_may_be_for_some_repositories_until_a_day(run, read):
    limits = {"repositories": "acme/web-*", "until": "2100-01-31T00:00:00Z"}
    facts = {"user": "charlie", "group": "", "role": "guest", **limits}
    run("member set acme charlie guest --repository acme/web-* --until 2100-01-31")
    assert read("member list acme")[2] == facts | {"enabled": True}


def test_a_role_for_scripts_says_its_limits(read):
    assert read("member set acme charlie guest --repository acme/** --until 2100-01-31T12:00:00") == {
        "project": "acme",
        "user": "charlie",
        "role": "guest",
        "pattern": "acme/**",
        "until": "2100-01-31T12:00:00Z",
    }


def test_a_group_is_given_a_role_and_loses_it(run, read):
    run("group add ops")
    done = run("member set acme ops maintainer --group")
    assert (done.output, read("member list acme")[2]["group"]) == ("ops is maintainer of acme\n", "ops")
    assert run("member remove acme ops --group").output == "ops is no longer a member of acme\n"
    assert len(read("member list acme")) == 2


def test_explain_says_through_which_group(run):
    run("group add ops")
    run("group add-user ops charlie")
    run("member set acme ops developer --group")
    assert run("explain charlie push acme/app").output == (
        "yes: charlie is developer through group ops of project acme, and that role has repository:push\n"
        "row: developer × repository:push\n"
    )


@pytest.mark.parametrize("role", ["king", "visitor", "systemAdmin", "limitedguest"])
def test_a_role_that_no_member_can_have_is_refused(run, role):
    done = run(f"member set acme charlie {role}")
    assert (done.exit_code, done.stderr) == (1, f"authsvc: role: there is no role '{role}'\n")


@pytest.mark.parametrize(("option", "left"), [("", []), (" --repository acme/web", ["**"])])
def test_one_role_or_all_of_them_are_taken_away(run, read, option, left):
    run("member set acme bob maintainer --repository acme/web")
    run(f"member remove acme bob{option}")
    assert [row["repositories"] for row in read("member list acme") if row["user"] == "bob"] == left


def test_a_role_of_ones_own_making_is_given(run, read):
    done = run("role set tester repository:pull artifact:delete")
    run("member set acme charlie tester")
    assert (done.output, run("explain charlie delete acme/app").output) == (
        "tester has artifact:delete, repository:pull\n",
        "yes: charlie is tester of project acme, and that role has artifact:delete\nrow: tester × artifact:delete\n",
    )


def test_roles_of_ones_own_making_are_listed(run, read):
    run("role set tester repository:pull --description Tests")
    run("member set acme charlie tester")
    assert read("role list") == [
        {"name": "tester", "members": 1, "rights": "repository:pull", "description": "Tests"},
    ]


def test_a_role_of_ones_own_making_is_deleted(run, read):
    run("role set tester repository:pull")
    assert (run("role delete tester").output, run("role list").output) == (
        "deleted tester\n",
        "no roles but the built-in ones\n",
    )


def test_a_member_is_removed(run, read):
    done = run("member remove acme bob")
    assert (done.output, [row["user"] for row in read("member list acme")]) == (
        "bob is no longer a member of acme\n",
        ["alice"],
    )


def test_members_are_listed_for_people(run):
    assert run("member list acme").output.splitlines() == [
        "USER   GROUP  ROLE          REPOSITORIES  UNTIL  ENABLED",
        "alice         projectAdmin  **                   yes",
        "bob           developer     **                   yes",
    ]


def test_a_project_without_members_says_so(run):
    assert run("member list open").output == "open has no members\n"


def test_no_members_are_an_empty_list_for_scripts(read):
    assert read("member list open") == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("project add acme", "there is a project acme already"),
        ("project add Acme", "project: a project name is"),
        ("project set nowhere --public", "there is no project nowhere"),
        ("project delete library", "library is the root project"),
        ("member set nowhere bob guest", "there is no project nowhere"),
        ("member set acme nobody guest", "there is no user nobody"),
        ("member remove acme charlie", "charlie is not a member of acme"),
        ("member list nowhere", "there is no project nowhere"),
        ("member set acme bob guest --repository ACME", "pattern: 'ACME' is no pattern"),
        ("member set acme bob guest --until 2001-01-31", "ends_at: this has passed already"),
        ("member remove acme bob --repository acme/web", "bob is not a member of acme"),
        ("role set guest repository:pull", "name: a role's name is"),
        ("role set tester repository:fly", "right: there is no right 'repository:fly'"),
        ("role delete guest", "there is no role guest of your own making"),
        ("explain nobody pull acme/app", "there is no user nobody"),
        ("explain bob pull ACME//app", "repository: ACME//app is not a repository name"),
    ],
)
def test_a_refusal_is_one_sentence_on_standard_error(run, line, sentence):
    done = run(line)
    assert (done.exit_code, done.stdout, done.stderr.startswith(f"authsvc: {sentence}")) == (1, "", True)


def test_a_deleted_name_stays_taken_for_a_while(run):
    run("project delete acme")
    done = run("project add acme")
    assert (done.exit_code, "try again in" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("line", "code", "output"),
    [
        (
            "explain bob push acme/app",
            0,
            [
                "yes: bob is developer of project acme, and that role has repository:push",
                "row: developer × repository:push",
            ],
        ),
        (
            "explain anonymous pull open/app",
            0,
            ["yes: project open is public, and its visitors have repository:pull", "row: visitor × repository:pull"],
        ),
        (
            "explain charlie pull acme/app",
            3,
            ["no: charlie is not a member of project acme, and no other role gives repository:pull", "row: none"],
        ),
    ],
)
def test_an_explanation_is_an_answer_and_its_row(run, line, code, output):
    done = run(line)
    assert (done.exit_code, done.output.splitlines()) == (code, output)


def test_an_explanation_is_json_for_scripts(read):
    assert read("explain bob delete acme/app") == {
        "user": "bob",
        "action": "delete",
        "repository": "acme/app",
        "project": "acme",
        "allowed": False,
        "row": "none",
        "reason": "bob is developer of project acme, which does not give artifact:delete there",
        "tokens": [],
    }


def test_an_explanation_knows_the_root_project(run):
    assert run("explain bob pull app", AUTHSVC_ROOT_PROJECT="open").exit_code == 0


@pytest.mark.parametrize(
    "line", ["explain bob", "explain bob frobnicate acme/app", "member set acme bob", "role set x"]
)
def test_a_wrong_command_line_has_its_own_exit_code(run, line):
    assert run(line).exit_code == 2
