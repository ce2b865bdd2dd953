"""One HTML file: no library, no font, no image and no request from anywhere else."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

from jaxnets.files import atomic_write

Section = tuple[str, str]  # its title as text, and its content as HTML
# The browser refuses every request, whatever the page contains.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page.

    Args:
      title: the title, as text.
      lead: HTML below the title.
      sections: in their order, each with an entry in the contents.
    """
    named = [(f"part-{i}", title, body) for i, (title, body) in enumerate(sections)]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a>' for name, title, _ in named)
    parts = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{escape(title)}</h2>{body}</section>\n"
        for name, title, body in named
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>\n<style>{_resource('page.css')}</style></head>\n<body>"
        f'<a class="skip" href="#main">Skip to the content</a><header><h1>{escape(title)}</h1>'
        f'{lead}<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f'<main id="main">\n{parts}</main>\n<script>{_resource("page.js")}</script></body></html>\n'
    )


def write(path: Path, content: str) -> None:
    """Write a page atomically."""
    with atomic_write(path) as file:
        file.write(content.encode("utf-8", "replace"))


def _resource(name: str) -> str:
    return resources.files("jaxnets.report_page").joinpath(name).read_text(encoding="utf-8")
