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


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ],
)
def test_every_answer_has_the_header(client, path, header, value):
    with client.get(path) as answer:
        assert answer.headers[header] == value


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "directive",
    ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"],
)
def test_every_answer_forbids_what_the_site_does_not_need(client, path, directive):
    with client.get(path) as answer:
        assert directive in answer.headers["Content-Security-Policy"].split("; ")


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
