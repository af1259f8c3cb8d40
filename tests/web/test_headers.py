import pytest

PATHS = [
    "/",
    "/nothing",
    "/api/nothing",
    "/service/token",
    "/service/token?service=other",
    "/healthz",
    "/static/site.css",
]


DATA = ["/api/nothing", "/service/token", "/service/token?service=other"]
PAGES = [path for path in PATHS if path not in DATA]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("header", "value"), [("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin")]
)
def test_every_answer_has_the_header(client, path, header, value):
    with client.get(path) as answer:
        assert answer.headers.getlist(header) == [value]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ],
)
def test_what_a_browser_shows_has_the_header(client, path, header, value):
    with client.get(path) as answer:
        assert answer.headers.getlist(header) == [value]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("directive", ["default-src 'none'", "frame-ancestors 'none'"])
def test_every_answer_forbids_everything_that_is_not_named(client, path, directive):
    with client.get(path) as answer:
        assert directive in answer.headers["Content-Security-Policy"].split("; ")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("directive", ["script-src 'self'", "base-uri 'none'", "form-action 'self'"])
def test_what_a_browser_shows_names_what_the_site_needs(client, path, directive):
    with client.get(path) as answer:
        assert directive in answer.headers["Content-Security-Policy"].split("; ")


@pytest.fixture
def app(own_app):
    """One that these tests give further routes."""
    return own_app


def test_no_policy_lets_a_page_run_what_stands_in_it(client):
    assert "unsafe" not in client.get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", PATHS[:-1])
def test_only_files_are_kept_by_a_cache(client, path):
    assert client.get(path).headers["Cache-Control"] == "no-store"


def test_a_file_is_kept_by_a_cache(client):
    with client.get("/static/site.css") as answer:
        assert answer.headers["Cache-Control"] != "no-store"


def test_a_page_differs_by_language(client):
    assert set(client.get("/").vary) >= {"Accept-Language", "Cookie"}


def test_a_bug_has_the_headers_too(app):
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    assert app.test_client().get("/bug").headers["X-Content-Type-Options"] == "nosniff"


def test_over_tls_a_browser_is_told_to_stay_there(client):
    answers = [client.get("/login", base_url=f"{scheme}://localhost") for scheme in ("http", "https")]
    assert [answer.headers.get("Strict-Transport-Security") for answer in answers] == [None, "max-age=31536000"]
