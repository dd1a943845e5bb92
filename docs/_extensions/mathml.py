"""Renders formulas as MathML, which browsers show by themselves: a page loads nothing from another host."""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

_log = logging.getLogger(__name__)


def mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Return a formula as MathML; one that is not understood is shown as it is written, with a warning."""
    source = node.astext().replace(r"\dots", r"\ldots")
    try:
        return tex2mathml(source, as_block=as_block)
    except MathError as error:
        _log.warning("the formula %r cannot be shown: %s", source, error, location=node)
        return f"<code>{html.escape(source)}</code>"


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``, which docs/conf.py chooses."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "version": "1"}
