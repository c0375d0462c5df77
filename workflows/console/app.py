"""The console's application: its pages put together, what they share, and what they say when something fails."""

from typing import Any, Final

from flask import Flask, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from common.errors import (
    InputNotFoundError,
    InvalidRequestError,
    PerformanceCalculatorError,
    StoreError,
    TransientError,
)
from workflows.console import actions, executions, formats, map_runs, portfolios
from workflows.console.comparison import NotComparableError
from workflows.console.console import EXTENSION, Console
from workflows.console.rerun import NothingToRerunError
from workflows.console.security import Gate, explain
from workflows.console.states import StateStatus

MAX_FORM_BYTES: Final = 64 * 1024 * 1024
THEMES: Final = ("light", "dark")
_THEME_COOKIE: Final = "perfcalc_theme"
_UNAVAILABLE: Final = 503


def create_app(console: Console, gate: Gate) -> Flask:
    """Return the application.

    Parameters
    ----------
    console
        What to show.
    gate
        Lets in.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_BYTES
    app.extensions[EXTENSION] = console
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(statuses=list(StateStatus), title=console.title, console=console)
    app.jinja_env.filters.update(
        duration=formats.duration,
        moment=formats.moment,
        iso=formats.machine_moment,
        pretty=formats.pretty,
        shown=formats.shown,
        reason=formats.reason,
        words=formats.status_words,
    )
    app.jinja_env.globals.update(between=formats.between)
    app.context_processor(_of_every_page)
    gate.protect(app)
    app.url_map.converters["entity_id"] = portfolios.EntityIdConverter
    # Ids may have two slashes in a row.
    app.url_map.merge_slashes = False
    for pages in (executions, actions, map_runs, portfolios):
        app.register_blueprint(pages.pages)
    app.register_error_handler(PerformanceCalculatorError, _failed)
    app.register_error_handler(HTTPException, _refused)
    return app


def _of_every_page() -> dict[str, Any]:
    theme = request.cookies.get(_THEME_COOKIE)
    return {"theme": theme if theme in THEMES else "", "csrf": g.get("csrf", "")}


def _failed(error: Exception) -> ResponseReturnValue:
    assert isinstance(error, PerformanceCalculatorError)
    match error:
        case InputNotFoundError():
            return _told(404, "Not found", str(error))
        case InvalidRequestError():
            return _told(400, "That cannot be", str(error))
        case NotComparableError():
            return _told(400, "These cannot be compared", str(error))
        case NothingToRerunError():
            return _told(409, "That cannot be done", str(error))
        case TransientError():
            return _told(_UNAVAILABLE, "A service does not answer", str(error))
        case StoreError():
            return _told(502, "A service refused", str(error))
    return _told(422, "That cannot be shown", str(error))


def _refused(error: HTTPException) -> ResponseReturnValue:
    return _told(error.code or 500, error.name, explain(error))


def _told(status: int, title: str, message: str) -> ResponseReturnValue:
    if request.accept_mimetypes.best == "application/json":
        return jsonify(error=message), status
    # Whoever is not let in sees nothing of the frame.
    template = "error.html" if g.get("csrf") else "closed.html"
    return render_template(template, heading=title, message=message, again=status == _UNAVAILABLE), status
