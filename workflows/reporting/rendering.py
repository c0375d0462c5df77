"""What draws the charts: as images, and in pages; of the version that the specifications are written in."""

from workflows.reporting.specs import Spec
from workflows.reporting.theme import light_colours, resolved

_PNG_WIDTH, _PNG_SCALE = 900, 2


def png(spec: Spec) -> bytes:
    """Return a chart as an image in the light theme, drawn without a browser."""
    import vl_convert  # noqa: PLC0415 - starts an engine of its own

    fixed = resolved(spec, light_colours()) | {"width": _PNG_WIDTH, "background": light_colours()["#surface"]}
    fixed["config"] = fixed["config"] | {"font": "sans-serif"}
    return vl_convert.vegalite_to_png(fixed, vl_version=vegalite_version(), scale=_PNG_SCALE)


def bundle() -> str:
    """Return the script that draws charts: Vega, Vega-Lite and Vega-Embed, with nothing to load besides."""
    import vl_convert  # noqa: PLC0415 - starts an engine of its own

    exposed = "window.vegaEmbed = vegaEmbed;"
    return vl_convert.javascript_bundle(exposed, vegalite_version())


def vegalite_version() -> str:
    """Return the version of Vega-Lite that the specifications are written in, as `6.4`."""
    import altair as alt  # noqa: PLC0415 - takes a second to import

    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
