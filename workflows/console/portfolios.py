"""The door to the pages of results, and the frame around them."""

from datetime import date
from typing import Any, Final
from urllib.parse import quote

from flask import Blueprint, Response, abort, g, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.routing import PathConverter

from common.errors import Fault, InputNotFoundError, InvalidRequestError
from workflows.console.comparison import compared_entities
from workflows.console.ports import PortfolioPage, PortfolioPages
from workflows.console.security import CONTENT_SECURITY_POLICY
from workflows.console.watching import console

pages = Blueprint("portfolios", __name__)


class EntityIdConverter(PathConverter):
    """An id in an address: it may have slashes, also where a browser would take them for steps through directories."""

    regex = ".+?"
    part_isolating = False  # which it would be for want of a slash in the expression

    def to_url(self, value: Any) -> str:
        """Return an id as it stands in an address."""
        text = str(value)
        return quote(text, safe="") if _STEPS & set(text.split("/")) else super().to_url(text)


_STEPS: Final = frozenset({"", ".", ".."})

# Vega sets styles in elements and hands images over as blobs; its expressions are interpreted, so scripts stay ours.
_POLICY: Final = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self' data:", "img-src 'self' data: blob:"
)


@pages.get("/portfolios")
def listed() -> ResponseReturnValue:
    """Show what has results, and what of it is chosen to be compared."""
    source = console().portfolios
    if source is None:
        return render_template("portfolios.html", there=False)
    # A button, where a link would forget what is chosen.
    wanted = "" if "clear" in request.args else _text()
    found, complete = source.entities(wanted, request.args.get("page", 1, type=int))
    chosen = list(dict.fromkeys(_chosen()))
    shown = {each.key for each in found.lines}
    return render_template(
        "_portfolios.html" if "part" in request.args else "portfolios.html",
        there=True,
        page=found,
        complete=complete,
        text=wanted,
        chosen=chosen,
        elsewhere=[each for each in chosen if each not in shown],
        most=source.most_compared,
    )


@pages.get("/portfolios/files/<name>")
def file(name: str) -> ResponseReturnValue:
    """Return a file that the pages of results need."""
    source = console().portfolios
    found = source.files().get(name) if source else None
    if found is None:
        abort(404)
    return Response(found.text, content_type=found.content_type, headers={"Cache-Control": "no-cache"})


@pages.get("/portfolios/<entity_type>/<entity_id:entity_id>")
def one(entity_type: str, entity_id: str) -> ResponseReturnValue:
    """Show the results of one entity."""
    source = console().portfolios
    if source is None:
        return render_template("portfolios.html", there=False), 404
    page = source.page(entity_type, entity_id, as_of=_as_of())
    if page is None:
        raise InputNotFoundError("There are no results of this entity.")
    return _framed(source, page, "portfolio.html", key=f"{entity_type}/{entity_id}")


@pages.get("/compare")
def compared() -> ResponseReturnValue:
    """Show the results of several entities side by side."""
    source = console().portfolios
    if source is None:
        return render_template("portfolios.html", there=False), 404
    chosen = _chosen()
    # Whatever is wrong with the choice, it can be made anew from there.
    g.back = url_for("portfolios.listed", entity=list(dict.fromkeys(chosen)), text=_text() or None)
    entities = compared_entities(chosen, source.most_compared)
    page = source.comparison(entities, as_of=_as_of())
    return _framed(source, page, "comparison.html", entities=entities, as_of=request.args.get("as_of") or None)


def _framed(source: PortfolioPages, page: PortfolioPage, template: str, **more: Any) -> Response:
    # The body is a template's own, of `PortfolioPages`, which escapes what it is filled with.
    body = Markup(page.body)  # noqa: S704 - see above
    answer = make_response(render_template(template, page=page, body=body, files=list(source.files()), **more))
    answer.headers["Content-Security-Policy"] = _POLICY
    return answer


def _text() -> str:
    return request.args.get("text", "").strip()


def _chosen() -> list[str]:
    return [each for each in request.args.getlist("entity") if each]


def _as_of() -> date | None:
    text = request.args.get("as_of", "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidRequestError([Fault("as_of", f"{text} is no date, which is written as 2024-03-29")]) from None
