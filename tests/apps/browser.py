"""A visitor's browser that reaches loopback only."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip
PATIENCE = 60_000  # ms; a busy machine is slow to start


def local(url: str, files: bool = False) -> bool:
    """Whether an address stays on this machine; a file does where files may be opened."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", *["file"] * files) or parts.hostname in ("127.0.0.1", "localhost")


@contextmanager
def visitor(chromium: str, width: int = 1280, height: int = 900, local_files: bool = False) -> Iterator[Page]:
    """A page that is cut off from everything beyond this machine: what asks for more, raises an error in a script or opens a
    dialog fails at the end."""
    outside, errors = [], []

    def guard(route):
        if local(route.request.url, local_files):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, locale="en-GB")
        page.set_default_timeout(PATIENCE)
        page.route("**/*", guard)
        page.on("websocket", lambda socket: local(socket.url) or outside.append(socket.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}"))
        yield page
        browser.close()
    assert not outside, f"the page asked for {outside}"
    assert not errors


def tab(page, name: str) -> None:
    """Open a tab; on a narrow page it may lie behind "…"."""
    found = page.get_by_role("tab", name=name, exact=True)
    expect(page.get_by_role("tab").first).to_be_visible()
    page.wait_for_timeout(300)  # which tabs fit is settled after they are there
    if not found.first.is_visible():
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
        return
    found.first.click()
