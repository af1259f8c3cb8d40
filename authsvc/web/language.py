"""Which language a page speaks: the one chosen, else the browser's; and how it writes times."""

from datetime import UTC, datetime

from flask import Flask, has_request_context, request
from flask_babel import Babel, gettext

from authsvc.errors import Sentence

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "language"


def register(app: Flask) -> None:
    """Give `app` its translations."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = f"{app.root_path}/web/translations"
    Babel(app, locale_selector=current)
    app.jinja_env.globals.update(languages=LANGUAGES, language=current)
    app.jinja_env.filters.update(moment=moment, translated=translated)


def moment(seconds: int) -> str:
    """A time (UTC seconds) as both languages write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def translated(sentence: str) -> str:
    """A sentence of another room in the page's language, if it is known there."""
    if isinstance(sentence, Sentence):
        values = {
            name: translated(value) if isinstance(value, Sentence) else value for name, value in sentence.values.items()
        }
        return str(gettext(sentence.template, **values))
    return str(gettext(sentence)) if sentence else ""


def current() -> str:
    """The language of this request."""
    if not has_request_context():
        return "en"
    chosen = request.cookies.get(COOKIE, "")
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES, "en")
