"""Takes the pictures in this folder from a running demo: `python docs/screens/take.py [http://127.0.0.1:8000]`.

Needs `make run` in another terminal and Chromium on PATH. It sends a few requests first, for something to see.
"""

import argparse
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).parent
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOGINS = {"admin": "demo-admin", "developer": "demo-developer"}
WIDTHS = {1440: 900, 390: 844}


@dataclass(frozen=True)
class Screen:
    """A page to take. `login` is who looks at it, through which login page."""

    name: str
    path: str
    login: str = ""
    login_page: str = ""


SCREENS = (
    Screen("home", "/"),
    Screen("inbox", "/demo/inbox/"),
    Screen("portal", "/portal/", "developer", "/portal/login/"),
    Screen("portal-key", "/portal/keys/key_demoFree/", "developer", "/portal/login/"),
    Screen("admin-home", "/admin/", "admin", "/admin/login/"),
    Screen("admin-keys", "/admin/sessions_app/key/", "admin", "/admin/login/"),
    Screen("admin-key", "/admin/sessions_app/key/key_demoFree/change/", "admin", "/admin/login/"),
    Screen("admin-policy", "/admin/policies_app/policy/pro/change/", "admin", "/admin/login/"),
    Screen("admin-api", "/admin/policies_app/api/echo/change/", "admin", "/admin/login/"),
    Screen("admin-organisation", "/admin/organisations_app/organisation/acme/change/", "admin", "/admin/login/"),
    Screen("admin-token", "/admin/organisations_app/admintoken/add/", "admin", "/admin/login/"),
    Screen("admin-audit", "/admin/organisations_app/auditentry/", "admin", "/admin/login/"),
    Screen("admin-events", "/admin/monitors_app/triggerevent/", "admin", "/admin/login/"),
    Screen("admin-event", "/admin/monitors_app/triggerevent/1/change/", "admin", "/admin/login/"),
    Screen("admin-deliveries", "/admin/monitors_app/delivery/", "admin", "/admin/login/"),
    Screen("admin-monitor", "/admin/monitors_app/monitor/1/change/", "admin", "/admin/login/"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", default="http://127.0.0.1:8000", help="where the demo runs")
    parser.add_argument("--demo-file", type=Path, default=FOLDER.parents[1] / "var" / "demo.json")
    parser.add_argument("--only", default="", help="names that begin with this")
    options = parser.parse_args()
    use_the_api(options.base, json.loads(options.demo_file.read_text())["free_key"])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for screen in SCREENS:
            if screen.name.startswith(options.only):
                take(browser, options.base, screen)
        browser.close()


def use_the_api(base: str, key: str) -> None:
    """Eight requests reach both thresholds of the Free key."""
    for _ in range(8):
        request = urllib.request.Request(f"{base}/echo/", headers={"Authorization": key})  # noqa: S310 - our own argument
        try:
            urllib.request.urlopen(request).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()  # the quota of this minute is spent already
        time.sleep(0.25)
    time.sleep(4)


def variants() -> Iterator[tuple[str, str, int, int]]:
    """(suffix of the file, colour scheme, width, height)"""
    for scheme, (width, height) in product(("light", "dark"), WIDTHS.items()):
        suffix = ("-dark" if scheme == "dark" else "") + ("-390" if width == 390 else "")
        yield suffix, scheme, width, height


def take(browser: Browser, base: str, screen: Screen) -> None:
    for suffix, scheme, width, height in variants():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        if screen.login:
            log_in(page, base + screen.login_page, screen.login)
        page.goto(base + screen.path)
        page.wait_for_load_state("load")
        page.wait_for_timeout(600)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        file = FOLDER / f"{screen.name}{suffix}.png"
        page.screenshot(path=file)
        print(f"{file.name}: {file.stat().st_size // 1024} kB" + (f", {overflow} px too wide" if overflow > 0 else ""))
        context.close()


def log_in(page: Page, address: str, login: str) -> None:
    page.goto(address)
    page.fill("[name=username]", login)
    page.fill("[name=password]", LOGINS[login])
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)


if __name__ == "__main__":
    main()
