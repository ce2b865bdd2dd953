"""The page in headless Chromium: its controls have their effects."""

import json
import threading

import pytest
from browser import CHROMIUM, Browser

from jaxnets.playground import programs
from jaxnets.playground.options import Options, change
from jaxnets.playground.programs import compile_programs
from jaxnets.playground.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
SMALL = change(Options(), {"hidden": [3], "seeds": 4})
ADDRESS = "#hidden=[3]&seeds=4&data=%22xor%22&discretize=true"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page that shows its first frame, of a network that is compiled already."""
    compile_programs(SMALL)
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = Browser(tmp_path_factory.mktemp("chromium"))
        try:
            browser.open(server.url + ADDRESS)
            browser.wait("document.body && document.body.dataset.frames")
            browser.address = server.url
            yield browser
        finally:
            browser.close()
            server.shutdown()


def press(page, text):
    buttons = "[...document.querySelectorAll('button')]"
    page.run(f"{buttons}.find((b) => b.textContent === {text!r}).click()")


def choose(page, name, value):
    text = json.dumps(value)
    page.run(
        f"(() => {{ const s = document.getElementById('{name}'); s.value = '{text}';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    page.wait(f"new URLSearchParams(location.hash.slice(1)).get('{name}') === '{text}'", 20)


def step(page):
    return int(page.run("document.getElementById('stepcount').value").replace(",", ""))


def test_the_address_sets_the_page(page):
    assert page.run("document.querySelector('#data [aria-pressed=true]').textContent") == "xor"
    assert page.run("document.getElementById('discretize').checked") is True
    assert page.run("document.getElementById('seeds').value") == "4"


def test_play_pause_and_step_train(page):
    press(page, "Play")
    page.wait("document.body.dataset.frames > 5")
    press(page, "Pause")
    page.wait("document.getElementById('play').textContent === 'Play'")
    before = step(page)
    press(page, "Step")
    page.wait(f"document.getElementById('stepcount').value.replaceAll(',', '') == {before + 1}")
    press(page, "Reset")
    page.wait("document.getElementById('stepcount').value === '0'")


def test_every_setting_but_the_structure_compiles_nothing(page):
    before = programs.COMPILED[0]
    for name, value in {
        "rate": 0.1, "activation": "relu", "penalty": "L2", "penalty_rate": 0.01, "noise": 0.2,
        "share": 80, "batch": 7, "seed": 3, "task": "regression",
    }.items():  # fmt: skip
        choose(page, name, value)
    press(page, "hills")
    press(page, "x₁²")
    choose(page, "task", "classification")
    press(page, "mnist 3 8")
    page.wait("!document.getElementById('digits').hidden && location.hash.includes('mnist')")
    choose(page, "task", "regression")
    press(page, "hills")
    for button, hidden in (("+ layer", "[3,3]"), ("\u2212 layer", "[3]")):
        press(page, button)
        page.wait(f"new URLSearchParams(location.hash.slice(1)).get('hidden') === '{hidden}'")
    page.run("document.querySelector('[aria-label=\"Add a unit to layer 1\"]').click()")
    page.wait("location.hash.includes('hidden=%5B4%5D') && location.hash.includes('hills')")
    assert programs.COMPILED[0] == before


def test_a_bias_is_edited_by_the_keyboard_and_a_weight_too(page):
    page.run("document.getElementById('network').focus()")
    page.press("ArrowRight", 39)
    page.press("Enter", 13, "\r")
    page.wait("document.activeElement.id === 'weight'")
    page.run("document.getElementById('weight').value = 1.5")
    page.press("Enter", 13, "\r")
    page.wait("document.getElementById('editor').hidden")
    page.run("document.getElementById('code-box').open = true")
    page.wait("document.getElementById('exact').textContent.startsWith('Settings or weights')")


def centre(page, element, x, y):
    """Where a pixel of a canvas is in the window, which is scrolled to it."""
    return page.run(
        f"(() => {{ const c = document.getElementById('{element}'); c.scrollIntoView();"
        " const b = c.getBoundingClientRect(), s = b.width / c.width;"
        f" return [b.left + {x} * s, b.top + {y} * s]; }})()"
    )


def picture(page):
    return page.run("document.getElementById('output').toDataURL()")


def test_a_unit_under_the_mouse_is_shown_large(page):
    before = picture(page)
    page.mouse("mouseMoved", *centre(page, "network", 50, 79))  # the first feature
    page.wait("document.getElementById('hint').textContent === 'x₁'")
    page.wait(f"document.getElementById('output').toDataURL() !== {before!r}")
    page.mouse("mouseMoved", 1, 1)
    page.wait(f"document.getElementById('output').toDataURL() === {before!r}")


@pytest.mark.parametrize(("box", "name"), [("show-test", "test"), ("discretize", "discretize")])
def test_a_box_changes_the_picture_and_the_address(page, box, name):
    before = picture(page)
    page.run(f"document.getElementById('{box}').click()")
    page.wait(f"document.getElementById('output').toDataURL() !== {before!r}")
    shown = page.run(f"document.getElementById('{box}').checked")
    assert page.run(f"location.hash.includes('{name}={json.dumps(shown)}')")


def test_a_seed_is_chosen_by_mouse_and_by_arrow_keys(page):
    seed = int(page.run("document.getElementById('seed').value"))
    page.click(*centre(page, "maps", 150, 20))
    page.wait(f"document.getElementById('chosen').value === '{seed + 2}'")
    page.run("document.getElementById('maps').focus()")
    page.press("ArrowRight", 39)
    page.wait(f"document.getElementById('chosen').value === '{seed + 3}'")


def test_a_new_seed_and_a_reload_keep_the_settings(page):
    seed = int(page.run("document.getElementById('seed').value"))
    press(page, "New seed")
    page.wait(f"location.hash.includes('&seed={seed + 1}&')")
    address = page.run("location.hash")
    page.run("window.old = true")
    page.command("Page.reload")
    page.wait("!window.old && document.body && document.body.dataset.frames")
    assert page.run("location.hash") == address


def test_a_preset_in_another_tab_leaves_the_first_as_it_is(page):
    first, address = page.session, page.run("location.hash")
    page.new_tab()
    page.open(page.address + ADDRESS)
    page.wait("document.body && document.body.dataset.frames")
    press(page, "Linear is not enough")
    page.wait("location.hash.includes('hidden=%5B%5D&') && location.hash.includes('&seeds=1&')", 90)
    second, page.session = page.session, first
    assert page.run("location.hash") == address
    page.session = second
    page.run("window.close()")
    page.session = first


def test_nothing_on_the_page_lacks_a_name(page):
    unnamed = page.run(
        "[...document.querySelectorAll('button, input, select, canvas')].filter((e) =>"
        " !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert unnamed == []


def test_tab_reaches_each_control_in_order_with_a_visible_focus(page):
    count = "document.querySelectorAll('.marked').length"
    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    page.run(
        "window.expected = [...document.querySelectorAll('button, input, select, canvas[tabindex],"
        " summary, pre[tabindex]')].filter((e) => e.checkVisibility() && !e.disabled)"
    )
    page.run("document.body.tabIndex = -1; document.body.focus(); window.reached = []")
    for _ in range(page.run("expected.length")):
        page.press("Tab", 9)
        page.run(
            "{ const e = document.activeElement; e.classList.add('marked'); reached.push([e,"
            " e.matches(':focus-visible') && getComputedStyle(e).outlineStyle === 'solid']); }"
        )
    assert page.run("reached.every(([e], i) => e === expected[i])")
    assert page.run("reached.every(([, seen]) => seen)")
    assert page.run(count) == page.run("expected.length")


def test_arrow_keys_move_a_slider_and_its_setting(page):
    before = int(page.run("document.getElementById('share').value"))
    page.run("document.getElementById('share').focus()")
    page.press("ArrowRight", 39) if before < 90 else page.press("ArrowLeft", 37)
    after = before + 10 if before < 90 else before - 10
    page.wait(f"location.hash.includes('&share={after}&')")
    assert page.run("document.activeElement.id") == "share"


def test_a_file_of_the_user_is_trained_on_and_a_broken_one_is_refused_in_one_line(page, tmp_path):
    rows = [f"{a},{b},{'no' if a > b else 'yes'}" for a in range(12) for b in range(10)]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("\n".join(["a,b,c", *rows]))
    bad.write_bytes(b"\xff\xfe" * 50)
    root = page.command("DOM.getDocument")["root"]["nodeId"]
    node = page.command("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    choose(page, "batch", 5)
    page.command("DOM.setFileInputFiles", files=[str(good)], nodeId=node)
    page.wait("location.hash.includes('good.csv')")
    page.wait("document.getElementById('legend').textContent === 'noyes'")
    page.run(
        "{ const s = document.getElementById('axis-1'); s.value = 'a';"
        " s.dispatchEvent(new Event('change')); }"
    )
    page.wait("location.hash.includes('columns=%5B%22a%22%2C%22b%22%5D')")
    page.command("DOM.setFileInputFiles", files=[str(bad)], nodeId=node)
    page.wait("document.getElementById('status').textContent.includes('not UTF-8')")
    assert "good.csv" in page.run("location.hash")
    press(page, "mnist 0-9")
    page.wait("document.getElementById('legend').children.length === 10")
