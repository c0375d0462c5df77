"""Templates and assets: a body for a page of the console, or one file that needs nothing else."""

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workflows.reporting.rendering import bundle
from workflows.reporting.theme import css_variables, light_colours, variables

if TYPE_CHECKING:
    from jinja2 import Environment

_SCRIPTS = ("vega.js", "report.js")
# Vega sets styles on what it draws, and images are made for the downloads.
_POLICY = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"

TEMPLATES = Path(__file__).parent / "templates"


class Asset(NamedTuple):
    """A static file."""

    content_type: str
    text: str


class Page(NamedTuple):
    """A page without its frame.

    Attributes
    ----------
    title : str
        As text; whoever puts it into HTML escapes it.
    body : str
        HTML, everything in it escaped.
    charts : dict
        The specification of each chart by its id, those for images alone included.
    notes : tuple of str
        What the page says of its data, such as why there are no charts.
    """

    title: str
    body: str
    charts: dict[str, Any]
    notes: tuple[str, ...] = ()


def render(template: str, **context: Any) -> str:
    """Fill in a template; what is put in is escaped."""
    return _environment().get_template(template).render(context)


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Return the files that a body needs, by name: `report.css`, `vega.js` and `report.js`, the scripts in this order.

    They are the same for all pages and load nothing. Of a content security policy they ask `script-src 'self'`, for
    expressions are interpreted and nothing is evaluated, `style-src 'self' 'unsafe-inline'` and `img-src data: blob:`.
    """
    script = {"variables": variables(), "light": light_colours()}
    return {
        "report.css": Asset(
            "text/css; charset=utf-8", render("report.css.j2", light=css_variables(0), dark=css_variables(1))
        ),
        "vega.js": Asset("text/javascript; charset=utf-8", bundle()),
        "report.js": Asset("text/javascript; charset=utf-8", render("report.js.j2", **script)),
    }


def document(page: Page) -> str:
    """Return a page as one file that works without a network.

    Its policy lets nothing run but the scripts it was written with, and nothing be loaded at all.
    """
    files = assets()
    scripts = [_inline(files[name].text) for name in _SCRIPTS]
    hashes = " ".join(f"'sha256-{_digest(each)}'" for each in scripts)
    return render(
        "document.html.j2",
        title=page.title,
        policy=f"default-src 'none'; script-src {hashes}; {_POLICY}",
        style=_safe(files["report.css"].text),
        scripts=[_safe(each) for each in scripts],
        body=_safe(page.body),
    )


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import (  # noqa: PLC0415 - for pages alone
        Environment,
        FileSystemLoader,
        StrictUndefined,
        select_autoescape,
    )

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), disabled_extensions=("js.j2", "css.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _safe(text: str) -> Any:
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    return Markup(text)  # noqa: S704 - our own files, and bodies that a template has escaped


def _inline(script: str) -> str:
    """Return a script as it may stand between tags: nothing in it may look like one."""
    return script.replace("</script", r"<\/script").replace("<!--", r"\x3C!--")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
