"""The door to the pages of results, and the frame around them."""

from datetime import date
from typing import Final

from flask import Blueprint, Response, abort, make_response, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from common.errors import InputNotFoundError
from workflows.console.security import CONTENT_SECURITY_POLICY
from workflows.console.watching import console

pages = Blueprint("portfolios", __name__)

# Vega sets styles in elements and hands images over as blobs; its expressions are interpreted, so scripts stay ours.
_POLICY: Final = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "img-src 'self' data:", "img-src 'self' data: blob:"
)


@pages.get("/portfolios")
def listed() -> ResponseReturnValue:
    """Show what has results."""
    source = console().portfolios
    if source is None:
        return render_template("portfolios.html", there=False)
    wanted = request.args.get("text", "").strip()
    found, complete = source.entities(wanted, request.args.get("page", 1, type=int))
    template = "_portfolios.html" if "part" in request.args else "portfolios.html"
    filters = {"text": wanted} if wanted else {}
    return render_template(template, there=True, page=found, complete=complete, text=wanted, filters=filters)


@pages.get("/portfolios/files/<name>")
def file(name: str) -> ResponseReturnValue:
    """Return a file that the pages of results need."""
    source = console().portfolios
    found = source.files().get(name) if source else None
    if found is None:
        abort(404)
    return Response(found.text, content_type=found.content_type, headers={"Cache-Control": "no-cache"})


@pages.get("/portfolios/<entity_type>/<path:entity_id>")
def one(entity_type: str, entity_id: str) -> ResponseReturnValue:
    """Show the results of one entity."""
    source = console().portfolios
    if source is None:
        return render_template("portfolios.html", there=False), 404
    page = source.page(entity_type, entity_id, as_of=request.args.get("as_of", type=date.fromisoformat))
    if page is None:
        raise InputNotFoundError("There are no results of this entity.")
    # The body is a template's own, of `PortfolioPages`, which escapes what it is filled with.
    body = Markup(page.body)  # noqa: S704 - see above
    answer = make_response(render_template("portfolio.html", page=page, body=body, files=list(source.files())))
    answer.headers["Content-Security-Policy"] = _POLICY
    return answer
