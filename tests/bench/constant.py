"""The yardstick: a Flask view that does nothing but return as much as a token is long."""

from flask import Flask

app = Flask("constant")
_ANSWER = "x" * 2_300


@app.get("/service/token")
def constant() -> str:
    return _ANSWER
