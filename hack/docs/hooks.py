"""mkdocs hooks: the pages are written for a checkout, where links lead to any file.

A link out of docs/ leads to a copy of that file in the site, under source/; one to a folder
becomes plain text. In mkdocs.yml's nav a path with a `*` stands for all pages it matches.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_FENCE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make lists of the nav's patterns; pages that it forgot come last."""
    docs = Path(config.docs_dir)
    nav: Any = _expand(config.nav, docs) if config.nav else []
    named = set(_paths(nav))
    more = [page for page in sorted(docs.rglob("*.md")) if str(page.relative_to(docs)) not in named]
    if more and nav:
        nav.append({"More": [{_title(page): str(page.relative_to(docs))} for page in more]})
    config.nav = nav or None
    return config


def _paths(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for entry in (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    ):
        yield from _paths(entry)


def _expand(node: Any, docs: Path) -> Any:
    if isinstance(node, list):
        return [_expand(entry, docs) for entry in node]
    if isinstance(node, dict):
        return {title: _expand(entry, docs) for title, entry in node.items()}
    if isinstance(node, str) and "*" in node:
        pages = sorted(docs.glob(node))
        return [{_title(page): str(page.relative_to(docs))} for page in pages]
    return node


def _title(page: Path) -> str:
    found = _TITLE.search(page.read_text())
    return found[1].replace("`", "") if found else page.stem


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Copy what pages link to outside docs/."""
    docs = Path(config.docs_dir)
    root = docs.parent
    wanted: set[str] = set()
    for file in files.documentation_pages():
        text = _FENCE.sub("", (docs / file.src_uri).read_text())
        for _, target, _ in _LINK.findall(text):
            outside = _outside(file.src_uri, target)
            if outside is not None and (root / outside).is_file():
                wanted.add(outside)
    for path in sorted(wanted):
        files.append(File.generated(config, _copy(path), abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links out of docs/ at the copies."""
    del files
    root = Path(config.docs_dir).parent
    here = page.file.src_uri

    def rewrite(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        outside = _outside(here, target)
        if outside is not None and (root / outside).is_file():
            up = posixpath.relpath(_copy(outside), posixpath.dirname(here) or ".")
            return f"[{text}]({up}{anchor})"
        if (root / (outside or _path(here, target))).is_dir():
            return text
        return link[0]  # a page, or mkdocs says that it leads nowhere

    parts = _FENCE.split(markdown)
    # Code stands at the odd places.
    parts[::2] = [_LINK.sub(rewrite, part) for part in parts[::2]]
    return "".join(parts)


def _copy(path: str) -> str:
    """Where a file lies in the site; a README of the checkout is no page of it."""
    return f"source/{path}.txt" if path.endswith(".md") else f"source/{path}"


def _path(page: str, target: str) -> str:
    """A link's target from the checkout's root."""
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))


def _outside(page: str, target: str) -> str | None:
    """The path from the checkout's root, None for what is a page, a URL or an anchor."""
    if "://" in target or target.startswith(("/", "mailto:")):
        return None
    path = _path(page, target)
    return None if path.startswith(("docs/", "..")) else path
