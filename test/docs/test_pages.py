"""Pages stay true: tables of rooms, files that are named, links, and the way to each page."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import import_graph  # noqa: E402

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
PAGES += [DOCS / "api" / "index.md"]


def rooms_in(section: str) -> list[str]:
    """First column of the table below a heading of the architecture page that begins with `section`."""
    text = (DOCS / "architecture.md").read_text().partition(f"\n### {section}")[2].partition("\n#")[0]
    return re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("package", import_graph.PACKAGES)
def test_the_architecture_page_lists_all_rooms_in_their_order(package: str) -> None:
    rooms = [room.removeprefix(f"{package}.") for room in import_graph.ROOMS if room.startswith(f"{package}.")]
    assert rooms_in(f"{package}:") == rooms


def test_files_that_the_architecture_page_names_exist() -> None:
    text = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+/\w+\.py)`", text))
    assert len(named) > 20
    missing = {name for name in named if not any((ROOT / start / name).is_file() for start in ("", "gaze_vlm_ros"))}
    assert not missing


def test_the_api_index_lists_every_package_and_the_public_api() -> None:
    text = (DOCS / "api" / "index.md").read_text()
    listed = re.findall(r"^ +((?:gaze_vlm_ros|training)\.[\w.]+)$", text, re.MULTILINE)
    scripts = ("cli", "export_windows", "fit", "pretrain", "evaluate", "report", "ablate", "recipe", "rules")
    expected = [room for room in import_graph.ROOMS if room.rpartition(".")[2] not in scripts]
    assert sorted(listed) == sorted(expected)


def test_every_page_is_in_the_table_of_contents_and_reachable_from_the_index() -> None:
    text = (DOCS / "index.md").read_text()
    contents = set(re.findall(r"^[\w ]+ <([\w/]+)>$", text, re.MULTILINE))
    links = {link.removesuffix(".md") for link in re.findall(r"\]\(([\w/]+\.md)\)", text)}
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"} | {"api/index"}
    assert contents == pages
    assert links == pages


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith(("http", "generated/")):
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
