"""Uses the pages for people in Chromium, as people do: with scripts and without, with the keyboard, on a telephone.

    browser.py ADDRESS OPERATORS-TOKEN DIRECTORY-FOR-PICTURES

There is an open incident `checkout-1`. Asserts, and prints `all is well` at the end.
"""
import pathlib
import shutil
import sys
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

ADDRESS, TOKEN, PICTURES = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PAGES = [
    "/", "/objectives", "/objectives/checkout", "/business", "/traffic", "/saturation", "/incidents", "/incidents/checkout-1", "/changes",
    "/changes/app-1",
    "/budget", "/audit", "/meta", "/status",
]
# Without these it looks for Google's hosts at every start.
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


def watched(context):
    """A page that may ask nobody else and complain of nothing."""
    page = context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(error.message))
    page.check = lambda: check(asked, complaints)
    return page


def check(asked, complaints):
    elsewhere = [url for url in asked if urlsplit(url).netloc != ADDRESS]
    assert not elsewhere, elsewhere
    assert not complaints, complaints


def log_in(page):
    page.goto(f"http://{ADDRESS}/incidents?every=60")
    assert urlsplit(page.url).path == "/login", page.url
    page.get_by_label("token").fill("plim_guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("That is no token")
    page.get_by_label("token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(f"http://{ADDRESS}/incidents?every=60")


def look(browser, state, scheme, width):
    """Every page: fit for everybody, complete, and photographed."""
    context = browser.new_context(
        storage_state=state, color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    page = watched(context)
    # Only to have axe in: what the policy forbids is looked for in the page above.
    probe = browser.new_context(storage_state=state, color_scheme=scheme, bypass_csp=True).new_page()
    for path in PAGES:
        page.goto(f"http://{ADDRESS}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{path} is wider than the screen by {wide}"
        if path == "/objectives/checkout":
            for chart in ["budget", "burns", "latency"]:
                drawn = page.locator(f"figure[data-chart={chart}] canvas")
                expect(drawn).to_be_visible()
                inked = drawn.evaluate(
                    "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(byte => byte > 0)"
                )
                assert inked, chart
        name = path.strip("/").replace("/", "-") or "now"
        page.screenshot(path=PICTURES / f"{name}-{scheme}-{width}.png", full_page=True)
        probe.goto(f"http://{ADDRESS}{path}")
        found = Axe().run(probe)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
    page.check()
    context.close()
    probe.context.close()


def without_scripts(browser, state):
    context = browser.new_context(storage_state=state, java_script_enabled=False)
    page = watched(context)
    for path in PAGES:
        page.goto(f"http://{ADDRESS}{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.get_by_role("table").count() > 0, path
    # What may be done can be done.
    page.goto(f"http://{ADDRESS}/incidents/checkout-1")
    page.get_by_label("what was seen or done").fill("the broker is slow <b>")
    page.get_by_role("button", name="Note").click()
    page.wait_for_url(f"http://{ADDRESS}/incidents/checkout-1")
    expect(page.get_by_role("cell", name="the broker is slow <b>")).to_be_visible()
    page.check()
    context.close()


def by_keyboard(browser, state):
    context = browser.new_context(storage_state=state)
    page = watched(context)
    page.goto(f"http://{ADDRESS}/")
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Objectives", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"http://{ADDRESS}/objectives")
    page.get_by_role("link", name="checkout").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"http://{ADDRESS}/objectives/checkout")
    # Another target is tried, and what it would have called for is told.
    slider = page.get_by_role("slider", name="another target")
    told = page.locator("figure[data-chart=whatIf] .point")
    expect(told).to_contain_text("99.900 %: ")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(told).to_contain_text("99.890 %: ")
    expect(told).to_contain_text("at most ")
    page.get_by_role("combobox").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("we know")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Silenced by ada until")).to_be_visible()
    page.check()
    context.close()


def live(browser, state):
    """What happens shows without a word from the reader, and a form that is being filled in stays."""
    context = browser.new_context(storage_state=state)
    reader, writer = watched(context), watched(context)
    reader.goto(f"http://{ADDRESS}/incidents/checkout-1")
    expect(reader.get_by_role("heading", level=1)).to_contain_text("is open")
    reader.get_by_label("what was seen or done").fill("half a sentence")
    writer.goto(f"http://{ADDRESS}/")
    writer.get_by_role("button", name="I am at it").first.click()
    writer.wait_for_url(f"http://{ADDRESS}/")
    expect(reader.get_by_role("heading", level=1)).to_contain_text("is acknowledged", timeout=10_000)
    expect(reader.get_by_label("what was seen or done")).to_have_value("half a sentence")
    reader.check()
    writer.check()
    # Whoever finds no seat to listen from sees what happens all the same, a little later.
    unheard = context.new_page()
    unheard.route("**/api/v1/stream**", lambda route: route.fulfill(status=503, body=""))
    unheard.goto(f"http://{ADDRESS}/")
    before = unheard.get_by_text("serving, plimsoll").inner_text()
    expect(unheard.get_by_text("serving, plimsoll")).not_to_have_text(before, timeout=20_000)
    unheard.close()
    # And whoever hears nothing any more is told so, and told again when it is over.
    other = context.new_page()
    other.goto(f"http://{ADDRESS}/")
    context.set_offline(True)
    expect(other.get_by_role("status").first).to_contain_text("Not live: what is shown is from", timeout=20_000)
    context.set_offline(False)
    expect(other.get_by_text("Not live")).to_have_count(0, timeout=20_000)
    context.close()


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        context = browser.new_context()
        page = watched(context)
        log_in(page)
        state = context.storage_state()
        look(browser, state, "light", 1200)
        look(browser, state, "dark", 420)
        without_scripts(browser, state)
        live(browser, state)
        by_keyboard(browser, state)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"http://{ADDRESS}/login")
        page.goto(f"http://{ADDRESS}/")
        assert urlsplit(page.url).path == "/login", page.url
        page.check()
        browser.close()
    print("all is well")


main()
