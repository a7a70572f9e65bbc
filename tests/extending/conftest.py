"""Fixtures of the tests that follow a page of `docs/extending`. Each test module names its page in `PAGE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extending.pages import Installed, Page, install_page, read_page


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest) -> Page:
    """The page that the test module names."""
    return read_page(request.module.PAGE)


@pytest.fixture
def installed(page: Page, tmp_path: Path) -> Installed:
    """The page's package, installed, and its other files in the folder of the test."""
    return install_page(page, tmp_path)
