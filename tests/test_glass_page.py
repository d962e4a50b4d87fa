"""The page as a glass box: alternatives, branches, links, attention, keyboard, and who can use it."""

import math

import pytest
import torch
from page_helpers import browser, one_thread, random_model, save_page, small_encoding
from torch.nn import functional as F

__all__ = ["browser", "one_thread"]  # fixtures
LINK = "prompt=Once+upon&seed=3&temperature=0.8&top_k=0&top_p=1"
TELLS = "shown && shown.tokens.length > 30"
STORY = "[...story.children].map(span => span.textContent).join('')"
SIZES = [(1280, 900), (390, 844), (320, 640)]


@pytest.fixture
def page(browser, tmp_path):
    """A page that is open, of a model whose stories do not end: (its path, the model, the encoding)."""
    encoding = small_encoding()
    model = random_model(encoding, block_size=64)
    with torch.no_grad():
        model.lm_head.weight *= 0.5  # so that no alternative has all
        model.lm_head.weight[:, 0] = 0
        model.lm_head.weight[encoding.eot_token] = 0
        model.lm_head.weight[encoding.eot_token, 0] = -5  # ... and end-of-text nothing
        model.transformer.ln_f.bias[0] = 5
    path = save_page(model, encoding, tmp_path)
    browser.open(path)
    return path, model, encoding


def open_story(browser, path, link=LINK, until=TELLS, **window):
    browser.open(path, link, until, **window)
    browser.run("telling && stop()")


def shares_after(model, ids, temperature=1.0):
    with torch.no_grad():
        return (model(torch.tensor([ids]))[0][0, -1].double()[: model.config.vocab_size] / temperature).softmax(0)


def as_shown(share):
    if 0 < share < 0.001:
        return "< 0.1\u00a0%"
    return f"{share:.{1 if 0 < share < 0.0995 else 0}%}".replace("%", "\u00a0%")


def test_a_token_shows_its_surprise_and_its_five_likeliest_alternatives(browser, page):
    path, model, _ = page
    open_story(browser, path)
    ids = browser.run("shown.ids")
    for place in (1, 12, 30):
        shares = shares_after(model, ids[:place])
        assert browser.run("place => shown.tokens[place].surprise", place) == pytest.approx(
            -math.log2(shares[ids[place]]), abs=1e-3
        )
        shown = browser.choose(place)
        values, top = shares_after(model, ids[:place], temperature=0.8).sort(descending=True)
        assert [int(id) for id in browser.run("[...choiceList.children].map(li => li.firstChild.value)")][:5] == (
            top[:5].tolist()
        )
        assert [share for _, share in shown[:5]] == [as_shown(float(value)) for value in values[:5]]
        if ids[place] not in top[:5]:
            rank = top.tolist().index(ids[place]) + 1
            assert shown[5][0].startswith(f"{rank}. ")
    shades = browser.run("[...story.children].slice(0, 30).map(s => Number(s.style.getPropertyValue('--surprise')))")
    surprises = browser.run("shown.tokens.slice(1, 31).map(token => token.surprise)")
    assert [shade > 0.3 for shade in shades] == [surprise / 10 * 0.55 > 0.3 for surprise in surprises]


def test_settings_change_the_shares_while_they_move(browser, page):
    path, model, _ = page
    open_story(browser, path)
    before = browser.choose(20)
    move = """([name, value]) => {
        element(name).value = value;
        element(name).dispatchEvent(new Event('input', {bubbles: true}));
    }"""
    ids = browser.run("shown.ids")
    for name, value, kept in (("temperature", 0.2, None), ("top-k", 3, 3), ("top-k", 1, 1)):
        browser.run(move, [name, value])
        browser.wait("!answering && !outdated")
        shown = [share for _, share in browser.choose(20)]
        shares = shares_after(model, ids[:20], 0.2).sort(descending=True).values
        shares = shares[:kept] / shares[:kept].sum()
        assert shown[:5] == ([as_shown(float(share)) for share in shares] + ["0\u00a0%"] * 5)[:5]
        assert shown != [share for _, share in before]
        if kept:
            assert f"drawn from {kept} of 701 tokens" in browser.run("element('kept').textContent")
    assert browser.run("location.hash") == "#" + LINK  # the link belongs to the story shown


def test_a_story_goes_on_from_an_alternative_and_back(browser, page):
    path, _, _ = page
    open_story(browser, path)
    first, ids = browser.run(STORY), browser.run("shown.ids")
    browser.choose(15)
    chosen = browser.run("Number([...choiceList.querySelectorAll('button')].find(b => b.ariaCurrent !== 'true').value)")
    browser.run("id => [...choiceList.querySelectorAll('button')].find(b => b.value === String(id)).click()", chosen)
    browser.wait("shown.branch === 15 && shown.tokens.length > 30")
    browser.run("telling && stop()")
    branch = browser.run("shown.ids")
    assert branch[:16] == [*ids[:15], chosen]
    assert browser.run("[...document.querySelectorAll('.taken')].map(span => story.children[14] === span)") == [True]
    assert browser.run("[back.disabled, forward.disabled]") == [False, True]

    browser.run("back.click()")
    browser.wait("shown.branch === 0")
    assert browser.run("[back.disabled, forward.disabled]") == [True, False]
    assert browser.run(STORY) == first
    browser.run("forward.click()")
    browser.wait("shown.branch === 15")
    assert browser.run("shown.ids") == branch

    # a link to the branch tells the same story to someone else
    open_story(browser, path, browser.run("location.hash.slice(1)"))
    assert browser.run("shown.ids")[:30] == branch[:30]


def test_a_branch_within_the_prompt_ends_the_prompt_there(browser, page):
    path, _, encoding = page
    open_story(browser, path, LINK.replace("Once+upon", "The+%F0%9F%98%80+said"))
    prompt = encoding.encode_ordinary("The 😀 said")
    for place in range(1, len(prompt) + 1):
        browser.run("([place, id]) => branch(place, id)", [place, 5])
        browser.wait(f"shown.branch === {place} && shown.tokens.length > 20")
        assert browser.run("shown.ids")[1 : place + 1] == [*prompt[: place - 1], 5]
        assert "The 😀 said".startswith(browser.run("fields.prompt.value"))
        browser.run("back.click()")
        browser.wait("shown.branch === 0")


def test_pressing_again_tells_another_story_and_a_seed_the_same(browser, page):
    path, _, _ = page
    open_story(browser, path)
    first = browser.run("shown.ids.slice(0, 30)")
    browser.run("button.click()")
    browser.wait("location.hash.includes('seed=4') && shown.tokens.length > 30")
    browser.run("telling && stop()")
    assert browser.run("shown.ids.slice(0, 30)") != first
    browser.begin("Once upon", temperature=0.8, seed=3)
    browser.wait("location.hash.includes('seed=3')")
    assert browser.run("shown.ids.slice(0, 30)") == first
    assert not browser.run("goOn.disabled")
    length = browser.run("shown.tokens.length")
    browser.run("fields.temperature.value = 0; goOn.click()")  # goes on with the story's own settings
    browser.wait(f"shown.tokens.length > {length + 5}")
    assert browser.run("fields.temperature.value") == "0.8"


@pytest.mark.parametrize(
    "wrong", ["temperature=9", "temperature=warm", "top_k=-1", "top_k=1.5", "top_p=0", "seed=", "then=1.x", "then=701"]
)
def test_a_wrong_link_is_refused_by_a_sentence(browser, page, wrong):
    path, _, _ = page
    browser.open(path, f"prompt=Tom&{wrong}", "status.textContent.startsWith('This link')")
    assert browser.run("status.textContent").startswith(f"This link's {wrong.split('=')[0]} is not one of this page")
    assert browser.run("shown === null && !button.disabled")


def test_texts_are_never_markup(browser, tmp_path):
    encoding = small_encoding()
    evil = '<img src=x onerror="document.title=1"></script><b>&amp;'
    path = save_page(random_model(encoding, block_size=64), encoding, tmp_path, title=evil, measured=evil)
    browser.open(path)
    assert browser.run("document.title").startswith(evil)
    assert evil in browser.run("document.querySelector('header').textContent")
    browser.begin(evil, temperature=1, seed=1)
    browser.wait("shown && (shown.ended || shown.tokens.length > 60)")
    assert browser.run(STORY).startswith(evil)
    assert browser.run("document.querySelectorAll('img, #story b').length") == 0


def test_attention_is_that_of_the_model(browser, page):
    path, model, _ = page
    open_story(browser, path)
    ids = browser.run("shown.ids")
    place, heads = 25, []
    x = model.transformer.wte(torch.tensor([ids[:place]])) + model.transformer.wpe(torch.arange(place))
    for block in model.transformer.h:
        q, k, _ = block.attn.c_attn(block.ln_1(x)).view(place, 3, 3, 6).permute(1, 2, 0, 3)
        heads.append(F.softmax(q[:, -1:] @ k.transpose(1, 2) / 6**0.5, -1)[:, 0])
        x = block(x)
    browser.choose(place)
    assert not browser.run("document.body.classList.contains('looking')")
    browser.run("look.open = true")
    browser.wait("document.body.classList.contains('looking')")
    for layer, head in ((0, 0), (1, 2), ("all", 1), ("all", "all")):
        shares = browser.run(
            "([layer, head]) => { layerMenu.value = layer; headMenu.value = head; showLook();"
            " return lookedAt(shown.tokens[chosen]); }",
            [layer, head],
        )
        of_layer = torch.stack(heads).mean(0, keepdim=True) if layer == "all" else heads[layer][None]
        wanted = of_layer[0].mean(0) if head == "all" else of_layer[0][head]
        assert torch.allclose(torch.tensor(shares), wanted.detach(), atol=0.003)
        shades = browser.run("[...story.children].map(span => Number(span.style.getPropertyValue('--look')))")
        assert int(torch.tensor(shades).argmax()) == int(wanted[1:].argmax())
        assert shades[place - 1 :] == [0] * len(shades[place - 1 :])


def test_the_keyboard_reaches_everything(browser, page):
    path, _, _ = page
    open_story(browser, path, viewport={"width": 320, "height": 640})  # so that there are lines
    press = browser.page.keyboard.press
    browser.run("fields.prompt.focus()")
    seen = set()
    for _ in range(40):
        press("Tab")
        seen.add(browser.run("document.activeElement.id || document.activeElement.classList[0]"))
    assert {"button", "shade", "cut", "token", "go-on", "copy", "temperature", "top-p", "top-k", "seed"} <= seen
    browser.run("spanOf(1).focus()")
    for key, place in (("ArrowRight", 2), ("End", None), ("Home", 1), ("ArrowLeft", 1), ("ArrowRight", 2)):
        press(key)
        assert browser.run("chosen") == (place or browser.run("story.children.length"))
    top = "spanOf(chosen).getBoundingClientRect().top + scrollY"
    line = browser.run(top)
    press("ArrowDown")
    assert browser.run(top) > line + 10
    press("ArrowUp")
    assert browser.run(top) == line
    browser.wait("!answering && element('spoken').textContent.split('%').length > 5")
    press("Escape")
    assert browser.run("chosen === null && document.activeElement.className.includes('token')")


def test_tokens_are_shown_as_they_are_cut(browser, page):
    path, _, encoding = page
    open_story(browser, path)
    browser.run("element('cut').click()")
    assert browser.run("getComputedStyle(element('count')).visibility") == "visible"
    count = browser.run("shown.tokens.length") - 1
    assert browser.run("element('count').textContent").startswith(f"{count} tokens, ")
    ids = [encoding.encode_single_token(token) for token in (b",", b"\n", b" ", b" the", b"\r", b"\xe2\x80")]
    names = browser.run("ids => [...ids, data.endOfText].map(label)", ids)
    assert names == [",", "↵", "·", "·the", "0d", "e2 80", "the end"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", SIZES)
def test_anyone_can_use_it(browser, page, scheme, width, height):
    """axe's rules for accessibility, no scrolling sideways, no word that jumps, at every width and in both colours."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    path, _, _ = page
    browser.open(path, viewport={"width": width, "height": height}, color_scheme=scheme)
    assert axe.run(browser.page).response["violations"] == []
    browser.begin("Once upon a time\r \u00a0 and", temperature=0.8, seed=1)
    browser.wait(TELLS)
    browser.run("stop()")
    places = "[...story.children].map(span => [span.offsetLeft, span.offsetTop])"
    before = browser.run(places)
    browser.choose(10)
    browser.run("look.open = true")
    browser.wait("document.body.classList.contains('looking')")
    assert browser.run(places) == before
    browser.run("element('cut').click()")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    for state in ("document.body.classList.contains('looking')", "(look.open = false, true)"):
        browser.wait(state)
        violations = axe.run(browser.page).response["violations"]
        assert [(violation["id"], violation["nodes"][0]["html"][:200]) for violation in violations] == []
    small = "[...document.querySelectorAll('button, select')].filter(b => b.offsetWidth && b.offsetHeight < 32).length"
    assert browser.run(small) == 0


@pytest.mark.usefixtures("page")
def test_stop_start_and_wrong_settings(browser):
    browser.begin("First", temperature=1, seed=1)
    browser.wait("story.textContent.length > 20 && button.textContent === 'Stop'")
    state = "[telling, status.textContent, story.textContent]"
    stopped = browser.run(f"(fields.top_k.value = 'x', button.click(), {state})")  # a wrong setting does not keep it
    assert stopped[:2] == [None, "Stopped."]  # from stopping
    browser.begin("Second", temperature=1, top_k="x")  # ... but from starting
    browser.page.wait_for_timeout(200)
    assert browser.run("[telling, story.textContent]") == [None, stopped[2]]
    browser.run("fields.top_k.value = 5; for (let i = 0; i < 9; i++) button.click()")  # start, stop, ..., start
    browser.page.wait_for_timeout(200)
    browser.page.keyboard.press("Escape")
    assert browser.run("telling") is None
    story = browser.run(f"ask('encode', 'Third').then(ids => [{STORY}, ids])")
    text, status = browser.tell("Third")
    assert text.startswith("Third") and status.startswith("Cut off after 500 tokens"), story
    assert browser.run("telling === null && shown.ids.length") == 501 + len(story[1])


def test_page_that_is_not_whole_says_so(browser, page, tmp_path):
    whole = page[0].read_bytes()
    for share in (0.999, 0.7):
        (tmp_path / "cut.html").write_bytes(whole[: int(len(whole) * share)])
        browser.open(tmp_path / "cut.html", until="status.textContent.includes('not whole')")
        assert browser.run("button.disabled")


def test_page_stays_off_the_network(browser, page):
    open_story(browser, page[0])
    assert browser.run("performance.getEntriesByType('resource').filter(r => !r.name.startsWith('blob:'))") == []
    browser.run("void addEventListener('securitypolicyviolation', event => { window.refused = event.blockedURI; })")
    browser.run("void fetch('http://127.0.0.1:9/').catch(() => {})")
    browser.wait("window.refused")
