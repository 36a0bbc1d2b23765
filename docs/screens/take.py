"""Takes the pictures in this folder from a running demo: `python docs/screens/take.py [http://127.0.0.1:8000]`.

Needs `make run` in another terminal and Chromium on PATH. First it does a few things in the admin and sends
requests, for something to see.
"""

import argparse
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
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
    """A page to take. `login` is who looks at it, through which login page; `act` is done there first."""

    name: str
    path: str
    login: str = ""
    login_page: str = ""
    act: Callable[[Page], object] = lambda page: None


def preview(page: Page) -> None:
    page.fill("#id_quota_max", "300")
    page.get_by_role("button", name="Preview this change").click()
    page.locator("#what-if-shown").get_by_text("Above the quota now").first.wait_for()
    page.evaluate("document.getElementById('what-if-title').scrollIntoView()")


LISTS_AND_FORMS = {
    "home": "",
    "keys": "sessions_app/key/",
    "key": "sessions_app/key/key_demoFree/change/",
    "policies": "policies_app/policy/",
    "policy": "policies_app/policy/pro/change/",
    "apis": "policies_app/api/",
    "api": "policies_app/api/echo/change/",
    "organisation": "organisations_app/organisation/acme/change/",
    "organisation-session": "sessions_app/orgsession/1/change/",
    "monitors": "monitors_app/monitor/",
    "monitor": "monitors_app/monitor/1/change/",
    "events": "monitors_app/triggerevent/",
    "event": "monitors_app/triggerevent/1/change/",
    "deliveries": "monitors_app/delivery/",
    "delivery": "monitors_app/delivery/1/change/",
    "tokens": "organisations_app/admintoken/",
    "token": "organisations_app/admintoken/add/",
    "audit": "organisations_app/auditentry/",
    "audit-entry": "organisations_app/auditentry/1/change/",
    "reset": "sessions_app/key/key_demoFree/reset_quota/",
    "group": "auth/group/2/change/",
    "login": "auth/user/add/",
}
ADMIN = "admin", "/admin/login/"
SCREENS = (
    Screen("home", "/"),
    Screen("inbox", "/demo/inbox/"),
    Screen("portal", "/portal/", "developer", "/portal/login/"),
    Screen("portal-key", "/portal/keys/key_demoFree/", "developer", "/portal/login/"),
    *(Screen(f"admin-{name}", f"/admin/{path}", *ADMIN) for name, path in LISTS_AND_FORMS.items()),
    Screen("admin-what-if", f"/admin/{LISTS_AND_FORMS['policy']}", *ADMIN, preview),
)
# They show the usage of a quota that renews every minute.
LIVE = ("portal", "portal-key", "admin-home", "admin-keys", "admin-key")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", default="http://127.0.0.1:8000", help="where the demo runs")
    parser.add_argument("--demo-file", type=Path, default=FOLDER.parents[1] / "var" / "demo.json")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--only", default="", help="names that begin with this")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        keys = json.loads(options.demo_file.read_text())
        use_the_api(options.base, keys["pro_key"], 405, 0.025)
        use_the_admin(browser, options.base)
        time.sleep(20)  # until the home knows of it by the next snapshots
        for screen in SCREENS:
            if not screen.name.startswith(options.only):
                continue
            if screen.name in LIVE or screen == SCREENS[0]:
                use_the_api(options.base, keys["free_key"], 8, 0.25)
                time.sleep(4)
            take(browser, options.base, screen, options.folder)
        browser.close()


def use_the_admin(browser: Browser, base: str) -> None:
    """For something to see in the audit and among the tokens."""
    page = browser.new_page()
    log_in(page, f"{base}/admin/login/", "admin")
    for verb, reason in (
        ("sessions_app/key/key_demoFree/reset_quota/", "Goodwill after the outage"),
        ("monitors_app/monitor/1/test/", "The receiver was moved"),
    ):
        page.goto(f"{base}/admin/{verb}")
        page.fill("[name=reason]", reason)
        page.press("[name=reason]", "Enter")
        page.wait_for_url("**/change/")
    page.goto(f"{base}/admin/{LISTS_AND_FORMS['token']}")
    page.fill("[name=name]", "Nightly report")
    page.get_by_role("button", name="Read all").click()
    page.fill("[name=audit_reason]", "For the data team")
    page.press("[name=audit_reason]", "Enter")
    page.wait_for_selector("#secret")
    page.close()


def use_the_api(base: str, key: str, requests: int, pause: float) -> None:
    """Eight requests reach both thresholds of the Free key, 405 two of the Pro key."""
    for _ in range(requests):
        request = urllib.request.Request(f"{base}/echo/", headers={"Authorization": key})  # noqa: S310 - our own argument
        try:
            urllib.request.urlopen(request).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()  # the quota of this minute is spent already
        time.sleep(pause)


def variants() -> Iterator[tuple[str, str, int, int]]:
    """(suffix of the file, colour scheme, width, height)"""
    for scheme, (width, height) in product(("light", "dark"), WIDTHS.items()):
        suffix = ("-dark" if scheme == "dark" else "") + ("-390" if width == 390 else "")
        yield suffix, scheme, width, height


def take(browser: Browser, base: str, screen: Screen, folder: Path) -> None:
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
        if page.url != base + screen.path:
            raise SystemExit(f"{screen.path} leads to {page.url}: there is nothing to take a picture of.")
        page.wait_for_load_state("load")
        screen.act(page)
        page.wait_for_timeout(600)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        file = folder / f"{screen.name}{suffix}.png"
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
