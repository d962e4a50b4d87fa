// The glass box: a token of the story, what else could have stood there, and where the model looked to choose it.

const [panel, glass, choiceList, look, layerMenu, headMenu] =
  ["panel", "glass", "choices", "look", "layer", "head"].map(element);
let chosen = null; // the place of a token of the story
let answering = false, outdated = false; // whether the worker is at it, and whether the question has changed
let toSpeak; // what a screen reader is to say, once the reader rests

function percent(share) {
  const shown = share * 100;
  if (shown > 0 && shown < 0.1) return "< 0.1\u00a0%";
  return `${shown.toFixed(shown > 0 && shown < 9.95 ? 1 : 0)}\u00a0%`;
}

function count(number) {
  return number.toLocaleString("en");
}

function spanOf(place) {
  return story.children[place - 1];
}

function choose(place) {
  if (chosen !== null && spanOf(chosen)) spanOf(chosen).ariaSelected = "false";
  chosen = place;
  glass.hidden = place === null;
  element("panel-hint").hidden = place !== null;
  document.body.classList.toggle("choosing", place !== null);
  if (place === null) {
    showLook();
    return;
  }
  for (const span of story.querySelectorAll('[tabindex="0"]')) span.tabIndex = -1;
  spanOf(place).tabIndex = 0;
  spanOf(place).ariaSelected = "true";
  spanOf(place).scrollIntoView({block: "nearest"});
  refresh();
}

// Shows the choices of the chosen token as the settings are now.
async function refresh() {
  outdated = true;
  if (answering) return;
  answering = true;
  while (outdated && chosen !== null) {
    outdated = false;
    const token = shown.tokens[chosen], asked = chosen, valid = form.checkValidity();
    if (!token.state) showUnseen(token);
    else if (valid) {
      const answer = await ask("choices", {state: token.state, id: token.id, options: options()});
      if (chosen === asked && shown.tokens[asked] === token) showChoices(token, answer);
    }
  }
  answering = false;
}

function showUnseen(token) {
  element("token").textContent = label(token.id);
  element("surprise").textContent = "The model does not see this token: the prompt is longer than its context.";
  element("kept").textContent = "";
  choiceList.replaceChildren();
  showLook();
}

function showChoices(token, {top, kept}) {
  element("token").textContent = label(token.id);
  element("surprise").textContent =
    `Surprise: ${token.surprise.toFixed(1)} bits. The model's own share: ${percent(2 ** -token.surprise)}.`;
  while (choiceList.children.length < top.length) {
    const item = document.createElement("li"), choice = document.createElement("button");
    choice.type = "button";
    choice.append(document.createElement("span"), document.createElement("span"));
    choice.addEventListener("click", () => branch(chosen, Number(choice.value)));
    item.append(choice);
    choiceList.append(item);
  }
  [...choiceList.children].forEach((item, i) => {
    item.hidden = i >= top.length;
    if (item.hidden) return;
    const {id, rank, share} = top[i], choice = item.firstChild;
    choice.value = id;
    choice.setAttribute("aria-current", id === token.id);
    choice.style.setProperty("--share", share.toFixed(4));
    choice.children[0].textContent = (i >= 5 ? `${count(rank)}. ` : "") + label(id);
    choice.children[1].textContent = percent(share);
  });
  element("kept").textContent =
    `With these settings: drawn from ${count(kept)} of ${count(data.endOfText + 1)} tokens. Tap one to go on from it.`;
  showLook();
  const spoken = id => label(id).replace(/^·/, "");
  speak(`${spoken(token.id)}. ` + top.map(({id, share}) => `${spoken(id)} ${percent(share)}`).join(", "));
}

// One announcement when the reader rests, none on the way.
function speak(text) {
  clearTimeout(toSpeak);
  toSpeak = setTimeout(() => { element("spoken").textContent = text; }, 700);
}

// Goes on from `id` at a place of the story that is shown, with the settings as they are now.
async function branch(place, id) {
  if (!form.reportValidity()) return;
  const {ids, tokens, promptLength} = shown;
  let prompt = ids.slice(0, promptLength), then = [...ids.slice(promptLength, place), id];
  if (place < promptLength) { // within the prompt, which then ends there
    const start = await ask("asPrompt", ids.slice(1, place));
    fields.prompt.value = start.prompt;
    prompt = ids.slice(0, place - start.then.length);
    then = [...start.then, id];
  }
  const link = linkOf(then);
  if (!stories.has(link)) stories.set(link, newStory(prompt, then, tokens.slice(0, place)));
  go(link);
}

// -- where it looked ----------------------------------------------------------------------------------------------

function fillHeads() {
  const fill = (menu, count) => menu.replaceChildren(...["all", ...Array(count).keys()].map(
    i => new Option(i === "all" ? "all" : i + 1, i)));
  fill(layerMenu, data.config.n_layer);
  fill(headMenu, data.config.n_head);
}

// The share of each position that the model looked at, over the chosen layer and head, or the mean of all.
function lookedAt({attention, place, start}) {
  const count = place - start, {n_layer, n_head} = data.config;
  const from = (menu, all) => menu.value === "all" ? [...Array(all).keys()] : [Number(menu.value)];
  const heads = from(layerMenu, n_layer).flatMap(layer => from(headMenu, n_head).map(head => layer * n_head + head));
  return Array.from({length: count}, (_, t) =>
    heads.reduce((sum, head) => sum + attention[head * count + t], 0) / 255 / heads.length);
}

function showLook() {
  const token = chosen === null ? null : shown.tokens[chosen], looking = look.open && Boolean(token?.attention);
  document.body.classList.toggle("looking", looking);
  if (!looking) return;
  const shares = lookedAt(token), ofSpan = i => shares[i + 1 - token.start] ?? 0, spans = [...story.children];
  const most = Math.max(...spans.map((_, i) => ofSpan(i)), 1e-9);
  spans.forEach((span, i) => span.style.setProperty("--look", (0.65 * Math.sqrt(ofSpan(i) / most)).toFixed(3)));
  const beginning = token.start === 0 ? ` ${percent(shares[0])} went to the sign that begins a story.` : "";
  element("looked").textContent =
    `The darker a word, the more the model looked at it when it chose “${label(token.id)}”.${beginning}`;
}

// -- the controls -------------------------------------------------------------------------------------------------

story.addEventListener("click", event => {
  const span = event.target.closest(".token");
  if (span) span.focus();
});
story.addEventListener("focusin", event => choose([...story.children].indexOf(event.target) + 1));
story.addEventListener("keydown", event => {
  const spans = [...story.children], at = spans.indexOf(document.activeElement);
  const line = step => { // the token under or above this one
    const {top, left} = spans[at].getBoundingClientRect();
    let to = at;
    while (spans[to + step] && Math.abs(spans[to].getBoundingClientRect().top - top) < 4) to += step;
    const there = spans[to].getBoundingClientRect().top;
    const beside = span => span && Math.abs(span.getBoundingClientRect().top - there) < 4;
    while ((spans[to].getBoundingClientRect().left - left) * step < 0 && beside(spans[to + step])) to += step;
    return to;
  };
  const to = {ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => spans.length - 1,
              ArrowDown: () => line(1), ArrowUp: () => line(-1)}[event.key]?.();
  if (to === undefined) return;
  event.preventDefault();
  spans[to]?.focus();
});
element("close").addEventListener("click", () => {
  spanOf(chosen).focus({preventScroll: true}); // the keyboard stays in the story
  choose(null);
});
element("shade").addEventListener("change", event => document.body.classList.toggle("shaded", event.target.checked));
element("cut").addEventListener("change", event => document.body.classList.toggle("cut", event.target.checked));
look.addEventListener("toggle", showLook);
for (const menu of [layerMenu, headMenu]) menu.addEventListener("change", showLook);
addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  if (telling) stop();
  else if (chosen !== null) element("close").click();
});
