import pytest

from authsvc import errors
from authsvc.errors import AppError, Invalid, Misconfigured, TooMany, Unavailable
from authsvc.web.access import open_to_all
from authsvc.web.errors import STATUS

MACHINES = ["/service/nothing", "/api/nothing", "/api/v2.0/nothing", "/v2/nothing"]


@pytest.fixture
def app(own_app):
    """One that these tests give further routes."""
    return own_app


@pytest.fixture
def failing(app):
    """A client of an application that raises what it is told, at `/api/fail` and `/fail`."""
    told: list[BaseException] = []

    @open_to_all
    def fail() -> str:
        raise told[-1]

    app.add_url_rule("/api/fail", "fail", fail)
    app.add_url_rule("/fail", "fail")

    def get(error: BaseException, path: str = "/api/fail", **headers: str):
        told.append(error)
        return app.test_client().get(path, headers={name.replace("_", "-"): headers[name] for name in headers})

    return get


def make(kind: type[AppError]) -> AppError:
    if kind is TooMany:
        return TooMany("a sentence", 7)
    return kind({"name": "a sentence"}) if kind is Invalid else kind("a sentence")


def test_every_error_has_a_status():
    assert set(AppError.__subclasses__()) == set(STATUS)


def test_every_error_that_has_a_status_is_named_among_the_errors():
    assert {kind for kind in vars(errors).values() if isinstance(kind, type)} - {AppError} >= set(STATUS)


def test_a_special_case_of_an_error_has_its_status(failing):
    class Away(Unavailable):
        pass

    assert failing(Away("the directory does not answer")).status_code == STATUS[Unavailable][0]


@pytest.mark.parametrize("kind", sorted(set(STATUS) - {Misconfigured}, key=str))
def test_an_error_is_answered_with_its_status_and_its_sentence(failing, kind):
    answer = failing(make(kind))
    (error,) = answer.json["errors"]
    assert (answer.status_code, error) == (
        STATUS[kind][0],
        {"code": STATUS[kind][1], "message": str(make(kind)), "detail": None},
    )


def test_what_an_administrator_must_mend_is_not_told_to_everybody(failing, caplog):
    answer = failing(Misconfigured("/secret/path is damaged"), X_Request_Id="abc-1")
    assert ("secret" in answer.text, "request abc-1" in answer.text, "/secret/path" in caplog.text) == (
        False,
        True,
        True,
    )


@pytest.mark.parametrize("path", ["/api/fail", "/fail"])
def test_a_bug_shows_an_id_and_nothing_else(failing, path):
    answer = failing(ZeroDivisionError("the secret reason"), path, X_Request_Id="abc-1")
    assert (answer.status_code, "internal error, request abc-1" in answer.text, "secret" in answer.text) == (
        500,
        True,
        False,
    )


def test_a_bug_is_logged_once_with_its_cause(failing, caplog):
    failing(ZeroDivisionError("the secret reason"), X_Request_Id="abc-1")
    logged = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [(record.getMessage(), record.exc_info[0]) for record in logged] == [
        ("internal error in request abc-1", ZeroDivisionError)
    ]


@pytest.mark.parametrize("path", MACHINES)
def test_programs_get_the_envelope(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json) == (
        404,
        {"errors": [{"code": "NOT_FOUND", "message": "not found", "detail": None}]},
    )


@pytest.mark.parametrize("accept", ["application/json", "text/html", "*/*"])
@pytest.mark.parametrize(("path", "kind"), [("/nothing", "text/html"), ("/api/nothing", "application/json")])
def test_the_path_decides_the_shape_and_not_the_accept_header(client, accept, path, kind):
    assert client.get(path, headers={"Accept": accept}).mimetype == kind


def test_a_page_for_people_shows_the_sentence_escaped(failing):
    answer = failing(errors.NotFound("there is no <script>"), "/fail")
    assert ("there is no &lt;script&gt;" in answer.text, "<script>" in answer.text) == (True, False)


def test_a_body_that_is_too_large_is_refused(client, built):
    answer = client.post(
        "/service/events", data=b"x" * (1024 * 1024 + 1), headers={"Authorization": f"Bearer {built.events_secret}"}
    )
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (413, "SIZE_INVALID")


def test_a_wrong_method_says_which_are_right(client):
    answer = client.post("/api/v2.0/ping")
    assert (answer.status_code, {"GET", "HEAD"} <= set(answer.allow)) == (405, True)


@pytest.mark.parametrize(
    ("sentence", "status"),
    [("try again", "503 try again"), ("x" * 200, "503 " + "x" * 120), ("重试", "503 SERVICE UNAVAILABLE")],
)
def test_the_reason_phrase_is_the_sentence_because_docker_hides_the_body(failing, sentence, status):
    assert failing(Unavailable(sentence)).status == status


def test_who_is_told_to_come_back_is_told_when(failing):
    assert failing(Unavailable("try again")).headers["Retry-After"] == "5"
    assert failing(TooMany("try again", 7)).headers["Retry-After"] == "7"


@pytest.mark.parametrize("kind", sorted(STATUS, key=str))
def test_no_cache_keeps_an_error(failing, kind):
    assert failing(make(kind)).headers["Cache-Control"] == "no-store"
