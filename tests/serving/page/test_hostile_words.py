"""Strings of strangers on the page: file names, elements, what was read, what a model says. None of them runs."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from serve_app.serving.api.pages.assets import VIEWS
from tests.rigs.browser import Complaints
from tests.serving.page import told
from tests.serving.page.payloads import PAYLOADS
from tests.serving.page.test_page import file
from tests.worlds.samples import card

FOREIGN = "script:not([src]), iframe, object, embed, base, style, svg, math, form form, [onerror], [onload], [onfocus]"
# The picture chosen again under each of the names; gives those that are not told.
CHOSEN = """async (names) => {
    const drop = document.querySelector(".drop[data-side=reference]");
    const input = drop.querySelector("input");
    const [picture] = input.files;
    const untold = [];
    for (const name of names) {
        const chosen = new DataTransfer();
        chosen.items.add(new File([picture], name, { type: "image/png" }));
        input.files = chosen.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
        await new Promise(requestAnimationFrame);
        if (!drop.textContent.includes(name)) untold.push(name);
    }
    return untold;
}"""


def test_none_of_forty_runs_wherever_it_stands(browser: Browser, url: str) -> None:
    assert len(set(PAYLOADS)) == 40
    page = browser.new_page(locale="en-US")
    page.set_default_timeout(10_000)
    complaints = Complaints(page)
    page.on("dialog", lambda dialog: complaints.told.append(f"dialog {dialog.message}"))
    page.goto(url)
    body = told.stream(("report", told.enveloped(told.report(*PAYLOADS))))
    page.route("**/v1/compare/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.set_input_files("[name=candidate]", file("".join(PAYLOADS), card("red")))
    page.set_input_files("[name=reference]", file("a.png", card()))
    assert page.evaluate(CHOSEN, list(PAYLOADS)) == []
    page.evaluate("(said) => (document.querySelector('[name=focus_elements]').value = said)", "".join(PAYLOADS))
    page.click("#compare")
    expect(page.locator("#recent-list li")).to_have_count(1)
    said = page.locator("#report").evaluate("(each) => each.textContent")
    assert [payload for payload in PAYLOADS if said.count(payload) < 10] == []  # told, as text
    page.evaluate(
        """() => {
            for (const each of document.querySelectorAll("#report *")) each.dispatchEvent(new Event("pointerenter"));
            for (const each of document.querySelectorAll("#takes button:nth-child(-n+3)")) each.click();
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None
    assert [each for each in complaints.told if "404" not in each] == []
    assert page.locator(f"main :is({FOREIGN})").count() == 0
    page.close()


def test_a_file_name_stays_one_word_of_a_shell_and_one_string_of_python(browser: Browser, url: str) -> None:
    names = ("a'; touch /tmp/ran #.png", "-rf.png", '$(id)`id`".png', "a;type=x,b\\.png")
    page = browser.new_page(locale="en-US")
    page.route("**/copying.js", lambda route: route.fulfill(path=VIEWS / "page" / "copying.js"))  # in page.js elsewhere
    page.goto(url)
    for name in names:
        copies = page.evaluate(
            """async (name) => {
                const { COPIES } = await import("./assets/copying.js");
                const what = { base: "http://x/", names: [name, name], config: {} };
                return Object.values(COPIES).map((write) => write(what));
            }""",
            name,
        )
        check_shell(copies[0], name, ("reference=@", "candidate=@"))
        check_shell(copies[2], name, ())
        compile(copies[1], "copied", "exec")
    page.close()


def check_shell(line: str, name: str, prefixes: tuple[str, ...]) -> None:
    import shlex

    words = shlex.split(line.replace("\\\n", " "))
    path = f"./{name}" if name.startswith("-") else name
    if not prefixes:
        assert words[2:4] == [path, path]
        return
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    assert [word for word in words if word.startswith(prefixes)] == [f'{prefix}"{quoted}"' for prefix in prefixes]
