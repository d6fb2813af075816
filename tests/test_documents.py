"""The documents keep up with the project."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_every_pinned_package_is_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    for pin in pins:
        name, exactly, version = pin.partition("==")
        assert exactly and version, f"{pin} is not pinned"
        assert name in rows, f"docs/dependencies.md does not say why {name} is here"
    assert len(rows - {"package"}) == len(pins), "docs/dependencies.md names a package that is gone"


def test_the_build_has_the_same_tools_with_pip_and_with_make() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(document["build-system"]["requires"]) <= set(document["project"]["optional-dependencies"]["dev"])


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    for target in targets:
        assert target.startswith("http") or (path.parent / target).exists(), f"{page} links to {target}"
