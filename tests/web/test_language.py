import gettext
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import flask_babel
import pytest
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import authsvc
from authsvc.core import callers
from authsvc.web import forms
from authsvc.web.language import LANGUAGES, moment

WEB = Path(authsvc.__file__).parent / "web"
CHINESE = WEB / "translations" / "zh" / "LC_MESSAGES"
KEYWORDS = {**DEFAULT_KEYWORDS, "lazy_gettext": None, "say": None}
ENGLISH_TITLE, CHINESE_TITLE = "Log in with docker", "使用 docker 登录"


def catalog():
    with (CHINESE / "messages.po").open("rb") as file:
        return read_po(file, locale="zh")


def compiled(file) -> dict[str, str]:
    return {key: text for key, text in gettext.GNUTranslations(file)._catalog.items() if key}


def in_pages() -> set[str]:
    found = extract_from_dir(
        str(WEB.parent), [("**/templates/**.html", "jinja2"), ("**.py", "python")], keywords=KEYWORDS
    )
    return {message for _file, _line, message, _comments, _context in found}


@pytest.mark.parametrize(
    ("preferred", "title", "lang"),
    [
        ("zh", CHINESE_TITLE, "zh-Hans"),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE_TITLE, "zh-Hans"),
        ("zh-Hans-CN", CHINESE_TITLE, "zh-Hans"),
        ("fr, zh;q=0.5", CHINESE_TITLE, "zh-Hans"),
        ("en-GB,en;q=0.9,zh;q=0.1", ENGLISH_TITLE, "en"),
        ("fr", ENGLISH_TITLE, "en"),
        ("", ENGLISH_TITLE, "en"),
        ("*", ENGLISH_TITLE, "en"),
        (";;;q=x,,", ENGLISH_TITLE, "en"),
    ],
)
def test_a_page_speaks_the_browsers_language(client, preferred, title, lang):
    page = client.get("/", headers={"Accept-Language": preferred}).text
    assert (title in page, f'<html lang="{lang}">' in page) == (True, True)


@pytest.mark.parametrize(
    ("chosen", "preferred", "title"),
    [("zh", "en", CHINESE_TITLE), ("en", "zh", ENGLISH_TITLE), ("fr", "zh", CHINESE_TITLE)],
)
def test_the_language_that_was_chosen_wins(client, chosen, preferred, title):
    client.set_cookie("language", chosen)
    assert title in client.get("/", headers={"Accept-Language": preferred}).text


def test_the_languages_are_offered_by_their_own_names(client):
    page = client.get("/").text
    assert all(f'href="/language/{code}" lang="{code}"' in page and name in page for code, name in LANGUAGES.items())


def test_an_error_page_is_translated(client):
    assert "返回首页" in client.get("/nothing", headers={"Accept-Language": "zh"}).text


def test_every_text_of_the_pages_has_a_translation_and_no_other_has():
    assert {message.id for message in catalog() if message.id} == in_pages()


def test_the_pages_have_texts():
    assert "Log in with docker" in in_pages()


def test_no_translation_is_empty_or_uncertain():
    assert [message.id for message in catalog() if message.id and (not message.string or message.fuzzy)] == []


def test_placeholders_survive_translation():
    assert [message.id for message in catalog() if list(message.check())] == []


def test_the_compiled_translations_are_those_of_the_source():
    fresh = io.BytesIO()
    write_mo(fresh, catalog())
    fresh.seek(0)
    with (CHINESE / "messages.mo").open("rb") as kept:
        assert compiled(kept) == compiled(fresh)


@pytest.mark.parametrize("sentence", [callers.WRONG, callers.DISABLED, forms.STALE])
def test_a_sentence_of_another_room_is_translated(app, sentence):
    with app.test_request_context(headers={"Accept-Language": "zh"}):
        assert flask_babel.gettext(sentence) != sentence


def test_a_time_is_written_alike_in_both_languages():
    assert moment(1_800_000_000) == "2027-01-15 08:00 UTC"


class Words(HTMLParser):
    """Collects what a template says in words of its own, outside of code and of `_()`."""

    SPOKEN = ("aria-label", "alt", "placeholder", "title")
    QUIET = ("code", "pre", "samp", "script", "style")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.quiet = 0

    def handle_starttag(self, tag, attrs):
        self.quiet += tag in self.QUIET
        self.found += [value for name, value in attrs if name in self.SPOKEN and re.search(r"[A-Za-z]{2}", value or "")]

    def handle_endtag(self, tag):
        self.quiet -= tag in self.QUIET

    def handle_data(self, data):
        if not self.quiet and '="' not in data and re.search(r"[A-Za-z]{2}", data):
            self.found.append(data.strip())


NAMES_OF_THINGS = {"authsvc", "Docker", "containerd", "Podman, skopeo, buildah", "CSV", "JSON", "SVG", "UTC"}


@pytest.mark.parametrize("template", sorted((WEB / "templates").rglob("*.html")), ids=lambda path: path.name)
def test_no_template_speaks_but_through_the_translations(template):
    words = Words()
    words.feed(re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert set(words.found) - NAMES_OF_THINGS == set()
