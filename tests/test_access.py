"""The book for readers who do not see it, do not use a mouse, or cannot bear motion: each in a real Chromium."""

import re

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect
from test_browser import HTML, chromium, pages_of_the_book, reader, served  # noqa: F401

# axe-core visits every element, and code and formulas are tens of thousands. So what is collapsed is opened, formulas
# lose what only eyes read (aria-hidden), their MathML, which axe-core does not count as text, becomes a word, and of
# the words in code and text that look alike all but the first become plain text: their contrast is the same
# everywhere, on later pages of the same tab too. "Alike" is: the same tags, classes, styles and computed colours from
# the element up to the page, equally visible, and both of one letter or both of more, as axe-core passes over single
# letters.
PRUNE = r"""async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const button of document.querySelectorAll(".toggle-hidden button.toggle-button")) button.click();
  await new Promise(then => requestAnimationFrame(() => setTimeout(then)));  // until what was opened has its width
  for (const seen of document.querySelectorAll(".math [aria-hidden=true]")) seen.replaceChildren();
  for (const read of document.querySelectorAll(".math math")) read.replaceWith("formula");
  const entry = document.querySelector("dt[id]");  // as if a link had led there: it lies on a ground of its own
  if (entry) location.hash = entry.id;
  const numbers = new Map(JSON.parse(sessionStorage.kinds ?? "[]")), known = numbers.size;
  window.dropAlike = (elements, drop) => {
    const kinds = new Map(), kept = new Set();
    const kind = element => {
      if (!element) return 0;
      if (!kinds.has(element)) {
        const {color, backgroundColor} = getComputedStyle(element);
        const visible = element.checkVisibility({visibilityProperty: true, opacityProperty: true});
        const key = JSON.stringify([kind(element.parentElement), element.localName, element.className,
                                    element.getAttribute("style"), color, backgroundColor, visible,
                                    element.textContent.trim().length > 1]);
        if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
        kinds.set(element, numbers.get(key));
      }
      return kinds.get(element); };
    const seen = new Set();
    for (const element of elements)
      if (kind(element) > known && !seen.has(kind(element))) {
        seen.add(kind(element));
        for (let one = element; one && !kept.has(one); one = one.parentElement) kept.add(one);
      }
    for (const element of elements) if (!kept.has(element)) drop(element);
    return numbers; };
  const words = [...document.querySelectorAll("article :is(span, em, strong, code)")];
  dropAlike(words.filter(word => [...word.attributes].every(({name}) => name === "class")),
            word => word.replaceWith(...word.childNodes));
  document.body.normalize(); }"""
ONE_OF_EACH = """() => {
  const numbers = dropAlike(document.querySelectorAll("body *"), element => element.remove());
  sessionStorage.kinds = JSON.stringify([...numbers]); }"""
UNREACHABLE = """() =>
  [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [onclick], [role=button]")]
  .filter(control => control.tabIndex < 0 && control.checkVisibility({visibilityProperty: true}))
  .map(control => "not reached by Tab: " + control.outerHTML.slice(0, 120))"""
AXE = """async options => {
  const results = await axe.run(document, {resultTypes: ["violations"], preload: false, ...options});
  return results.violations.flatMap(({id, impact, nodes}) => nodes.map(node =>
    `${id} (${impact}): ${node.html.slice(0, 120)} ${node.failureSummary.replace(/\\s+/g, " ").slice(0, 200)}`)); }"""


def barriers(page, url: str) -> list[str]:
    """Return what axe-core finds in a page, its contrasts in both themes, and the controls that Tab passes over."""
    page.goto(url, wait_until="load")
    page.evaluate(PRUNE)
    faults = page.evaluate(UNREACHABLE)
    page.evaluate(AXE_SCRIPT)
    faults += page.evaluate(AXE, {"rules": {"color-contrast": {"enabled": False}}})
    # Contrast is the dearest rule, and asks for no more than colours: one of each kind is enough of everything.
    page.evaluate(ONE_OF_EACH)
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found = page.evaluate(AXE, {"runOnly": ["color-contrast"]})
        faults += [f"{fault} [{theme}]" for fault in found]
    return faults


def still(chromium):  # noqa: F811
    """Open a page without motion, as else a colour is measured on its way from one theme's to the other's."""
    return reader(chromium, viewport={"width": 1440, "height": 900}, reduced_motion="reduce")


def test_no_page_has_a_barrier(chromium):  # noqa: F811
    faults = []
    with served(HTML) as address, still(chromium) as page:
        for where in pages_of_the_book():
            faults += [f"{where}: {fault}" for fault in barriers(page, f"{address}/{where}")]
    assert not faults, "\n".join(faults)


def test_each_barrier_is_found(chromium, tmp_path):  # noqa: F811
    """Check the checker: a page with a fault of each kind, also where others before it look alike."""
    code = "<pre><span class=k>def</span> <span class=pale>f</span>(<span class=pale>pale</span>)</pre>"
    (tmp_path / "bad.html").write_text(
        "<!doctype html><html lang=en data-theme=light><title>A page</title><link rel=icon href='data:,'><style>"
        ".pale {color: #999} td:nth-child(2) span {color: #aaa} [data-theme=dark] {background: #000; color: #fff}"
        "[data-theme=dark] .k {color: #333} dt:target {background: #777} .toggle-hidden p {visibility: hidden}"
        ".math {color: #bbb}</style><main><article><h1>A title</h1>"
        f"{code}{code}<table><tr><th scope=col>a</th><th scope=col>b</th></tr><tr><td><span>one</span></td>"
        "<td><span>in a table</span></td></tr></table><dl><dt id=name>named</dt><dd>it</dd></dl>"
        "<div class=toggle-hidden><p style='color: #bababa'>folded</p>"
        "<button class=toggle-button onclick='this.parentElement.className=0'>solution</button></div>"
        "<details><summary>more</summary><p style='color: #ababab'>closed</p></details>"
        "<p><span class=math><span aria-hidden=true><a href=a>x</a></span><math><mi>x</mi></math>formula</span></p>"
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><button></button><a href=b></a>"
        "<input type=range><button tabindex=-1>unreached</button><div role=button>a part</div>"
        "<pre tabindex=-1 style='width: 50px; overflow: auto'>a line that is wider than its box</pre>"
        "<p>There are words, and <a href=c style='color: #006; text-decoration: none'>a link</a> among them.</p>"
        "</article></main></html>"
    )
    with served(tmp_path) as address, still(chromium) as page:
        faults = barriers(page, f"{address}/bad.html")
    print(*faults, sep="\n")
    expected = [
        ("color-contrast", ">pale</span>"), ("color-contrast", "in a table"), ("color-contrast", ">named"),
        ("color-contrast", "folded"), ("color-contrast", "closed"), ("color-contrast", "formula"),
        ("color-contrast", ">def</span>"), ("image-alt", "<img"), ("button-name", "<button></button>"),
        ("link-name", "<a href"), ("label", "range"), ("not reached by Tab", "unreached"),
        ("not reached by Tab", "a part"), ("scrollable-region-focusable", "wider"),
        ("link-in-text-block", "a link"),
    ]  # fmt: skip
    for kind, part in expected:
        assert any(fault.startswith(kind) and part in fault for fault in faults), (kind, part, faults)
    assert [fault[-7:] for fault in faults if ">pale</span>" in fault] == ["[light]"]  # once, and
    assert [fault[-6:] for fault in faults if ">def</span>" in fault] == ["[dark]"]  # in the theme where it is so


# ---- by keyboard ----


# The look of each control that Tab can reach, before and when it has the focus.
WATCH = """() => {
  const look = control => {
    const {outlineStyle, outlineWidth, outlineColor, boxShadow} = getComputedStyle(control);
    return [outlineStyle !== "none" && [outlineStyle, outlineWidth, outlineColor], boxShadow].join(" "); };
  window.unfocused = new Map();
  for (const control of document.querySelectorAll("a[href], button, input, summary, [tabindex]"))
    if (control.tabIndex >= 0 && control.checkVisibility({visibilityProperty: true}))
      unfocused.set(control, look(control));
  window.reached = new Set();
  window.unmarked = [];
  document.addEventListener("focusin", ({target}) => {
    reached.add(target);
    if (look(target) === unfocused.get(target)) unmarked.push(target.outerHTML.slice(0, 120)); });
  return unfocused.size; }"""
CONTROLS = {
    "slider": ".lmm-explore input[type=range]",
    "solution": "button.toggle-button",
    "folded code": "details.hide summary",
    "copy": "button.copybtn",
    "theme": ".theme-switch-button",
    "search": ".search-button__button",
    "download": ".dropdown-download-buttons > button",
    "sidebar": "button.primary-toggle",
}


@pytest.fixture
def chapter(chromium):  # noqa: F811
    """Open a chapter with a control of each kind."""
    pages_of_the_book()
    with served(HTML) as address, still(chromium) as page:
        page.goto(f"{address}/book/04_rotation.html", wait_until="load")
        yield page
        assert page.faults == []


def test_tab_reaches_every_control_and_shows_where_it_is(chapter):
    for _ in range(chapter.evaluate(WATCH)):
        chapter.keyboard.press("Tab")
    missed = "() => [...unfocused.keys()].filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 120))"
    assert chapter.evaluate(missed) == []
    assert chapter.evaluate("unmarked") == []
    for name, selector in CONTROLS.items():
        assert chapter.evaluate("part => [...reached].some(one => one.matches(part))", selector), name


def test_keys_open_and_close(chapter):
    def press(key, selector):
        chapter.locator(selector).first.press(key)

    solution = chapter.locator(CONTROLS["solution"]).first
    content = chapter.locator(".solution.dropdown > :not(.admonition-title)").first
    expect(solution).to_have_accessible_name(re.compile(r"Solution to Exercise\s4.1"))
    for key, expanded in (("Enter", "true"), ("Space", "false"), ("Space", "true"), ("Enter", "false")):
        press(key, CONTROLS["solution"])
        expect(solution).to_have_attribute("aria-expanded", expanded)
        expect(content).to_be_visible(visible=expanded == "true")

    press("Enter", CONTROLS["folded code"])
    expect(chapter.locator("details.hide").first).to_have_attribute("open", "")
    for mode, theme in (("auto", "light"), ("dark", "dark"), ("light", "light")):
        press("Enter", CONTROLS["theme"])
        expect(chapter.locator("html")).to_have_attribute("data-mode", mode)
        expect(chapter.locator("html")).to_have_attribute("data-theme", theme)
    press("Enter", CONTROLS["search"])
    expect(chapter.locator("#search-input")).to_be_focused()
    chapter.keyboard.press("Escape")
    expect(chapter.locator("#search-input")).to_be_hidden()
    press("Enter", CONTROLS["download"])
    chapter.keyboard.press("ArrowDown")
    expect(chapter.locator(".dropdown-download-buttons a").first).to_be_focused()


WIDE = """async () => {
  const found = new Set();
  for (const button of document.querySelectorAll("button.toggle-button")) button.click();
  for (const box of document.querySelectorAll("pre, .pst-scrollable-table-container, .katex-display")) {
    box.scrollIntoView();
    await new Promise(then => requestAnimationFrame(() => setTimeout(then)));
    if (box.scrollWidth > box.clientWidth) found.add(box.className + box.localName + " " + box.tabIndex);
  }
  return [...found].sort(); }"""


def test_tab_reaches_what_is_too_wide_for_a_telephone(chapter):
    chapter.set_viewport_size({"width": 375, "height": 800})
    found = chapter.evaluate(WIDE)
    assert "pre 0" in found and all(box.endswith(" 0") for box in found), found
    chapter.goto(chapter.url.replace("04_rotation", "notation"))
    assert chapter.evaluate(WIDE) == []  # a table's rows are blocks there
    chapter.evaluate("document.querySelectorAll('.stacked').forEach(table => table.classList.remove('stacked'))")
    assert chapter.evaluate(WIDE) == ["pst-scrollable-table-containerdiv 0"]


# ---- without motion ----


MOVING = """() => {
  const longest = durations => Math.max(...durations.split(",").map(parseFloat));
  const found = new Set();
  for (const element of document.querySelectorAll("*"))
    for (const part of [null, "::before", "::after"]) {
      const style = getComputedStyle(element, part);
      if (longest(style.transitionDuration) > 0.01 || longest(style.animationDuration) > 0.01
          || style.scrollBehavior === "smooth")
        found.add(element.localName + "." + element.getAttribute("class") + (part ?? ""));
    }
  return [...found]; }"""


def test_nothing_moves_for_those_who_ask_for_it(chapter):
    assert chapter.evaluate(MOVING) == []
    chapter.emulate_media(reduced_motion="no-preference")
    moving = chapter.evaluate(MOVING)
    for one in ("button.copybtn", "div.bd-sidebar"):  # what the rule stops is seen
        assert any(part.startswith(one) for part in moving), (one, moving)
