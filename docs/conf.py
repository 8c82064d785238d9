"""How Sphinx builds these pages: sphinx-build -n -W --keep-going docs build/docs. Nothing is fetched."""

from __future__ import annotations

import re

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import dicomover
from dicomover import testing
from dicomover.cli import cli

project = "dicomover"
author = "The dicomover developers"
version = release = dicomover.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
default_role = "code"
nitpicky = True
_OF_OPTIONS = ("progress.views.View", "requests.shards.Shard", "images.frames.Planes")  # types of options alone
nitpick_ignore = [("py:class", f"dicomover.{name}") for name in _OF_OPTIONS]

html_theme = "furo"
html_title = f"dicomover {release}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
maximum_signature_line_length = 100
napoleon_google_docstring = False
napoleon_preprocess_types = False
python_display_short_literal_types = True

# --- code that names something of ours is a link to it, and has to lead somewhere

_HOMES = {name: f"dicomover.{name}" for name in dicomover.__all__}
_HOMES.update({name: f"dicomover.testing.{name}" for name in testing.__all__})
_HOMES["Report"] = "dicomover.reporting.Report"
_BY_VARIABLE = {"mover": "Mover", "job": "Job", "cohort": "Cohort", "report": "Report", "pacs": "DemoPacs"}
_FILE = r"(?:py|db|csv|lock|html|png)\b"
_CODE = re.compile(rf"(?:dicomover\.(?:testing\.)?)?([A-Za-z_]+)((?:\.(?!{_FILE})\w+)?)(?:\(.*\))?")
_COMMAND = re.compile(rf"dicomover ({'|'.join(cli.commands)})")


def _link_code(_app: Sphinx, doctree: nodes.document) -> None:
    for literal in list(doctree.findall(nodes.literal)):
        target = None if _is_inside_a_link(literal) else _target(literal.astext())
        if target is not None:
            link = pending_xref("", literal.deepcopy(), refdoc=doctree.settings.env.docname, refexplicit=True, **target)
            literal.replace_self(link)


def _is_inside_a_link(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.reference | nodes.title | pending_xref | desc_signature):
            return True
    return False


def _target(code: str) -> dict[str, str] | None:
    command = _COMMAND.fullmatch(code)
    if command is not None:
        return {"refdomain": "std", "reftype": "ref", "reftarget": f"dicomover-{command[1]}"}
    match = _CODE.fullmatch(code)
    if match is None:
        return None
    name = _BY_VARIABLE.get(match[1], match[1]) if match[2] else match[1]
    return {"refdomain": "py", "reftype": "obj", "reftarget": _HOMES[name] + match[2]} if name in _HOMES else None


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Node) -> nodes.Node | None:
    """Find our own names where they are public; leave the names of others as they are, without a link."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if not target.startswith("dicomover"):
        return content
    public = _HOMES.get(target.rpartition(".")[2])
    if public is None:
        return None
    return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, content)


def _label_commands(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the sections of the commands the labels that links to them need; on a forge they would be seen."""
    if docname == "command-line":
        source[0] = re.sub(r"^## dicomover (\w+)$", r"(dicomover-\1)=\n\g<0>", source[0], flags=re.MULTILINE)


def setup(app: Sphinx) -> None:
    """Register what stands above."""
    app.add_lexer("csv", TextLexer)  # Pygments has none
    app.connect("source-read", _label_commands)
    app.connect("doctree-read", _link_code)
    app.connect("missing-reference", _resolve)
