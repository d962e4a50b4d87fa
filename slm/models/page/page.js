// The page: a link says which story, the worker tells it, and the reader walks from story to story.

const MAX_NEW_TOKENS = 500; // where a story is cut that does not end by itself
const element = id => document.getElementById(id);
const [form, button, back, forward, goOn, copy, status, story, plain] =
  ["form", "button", "back", "forward", "go-on", "copy", "status", "story", "plain"].map(element);
// What a link says of a story, besides the tokens that it goes on from: a field of the form each.
const fields = {prompt: element("prompt"), seed: element("seed"), temperature: element("temperature"),
                top_k: element("top-k"), top_p: element("top-p")};
const stories = new Map(); // those told so far, by their links: {text, ids, tokens, promptLength, branch, ended}
const visited = []; // the links in the order of the browser's history ...
let here = -1; // ... and which of them is open
let data; // the model's configuration and its tokens
let ask; // sends the worker a message and promises its answer
let shown = null; // the story on the page
let telling = null; // changes with each telling, so that an answer to an older one is known

// -- the worker ---------------------------------------------------------------------------------------------------

function startWorker() {
  const code = element("model-code").textContent + "\nserve();";
  const worker = new Worker(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  const waiting = []; // answers come in the order of the messages
  worker.onmessage = ({data: answer}) => waiting.shift()(answer);
  worker.onerror = event => fail(event.message);
  return (name, argument) => new Promise(resolve => {
    waiting.push(resolve);
    worker.postMessage([name, argument]);
  });
}

function fail(reason) {
  setTelling(null);
  for (const control of [button, goOn, back, forward]) control.disabled = true;
  status.textContent = `The model does not run here: ${reason}`;
}

// -- links --------------------------------------------------------------------------------------------------------

function options() {
  return {temperature: fields.temperature.valueAsNumber, topK: fields.top_k.valueAsNumber,
          topP: fields.top_p.valueAsNumber};
}

// The fragment that says how a story begins, as the form has it, and the ids it goes on with.
function linkOf(then) {
  const link = new URLSearchParams(Object.entries(fields).map(([name, field]) => [name, field.value]));
  if (then.length) link.set("then", then.join("."));
  return link.toString();
}

// Puts what a link says into the form and returns the ids that the story goes on with. A link may come from anyone: a
// field takes only what a reader can enter there.
function readLink(text) {
  const link = new URLSearchParams(text);
  const wrong = name => new Error(`This link's ${name} is not one of this page: “${link.get(name).slice(0, 40)}”.`);
  for (const [name, field] of Object.entries(fields)) {
    if (!link.has(name)) continue;
    const value = link.get(name), before = field.value;
    field.value = value;
    const taken = name === "prompt" || value !== "" && Number(field.value) === Number(value);
    if (taken && field.checkValidity()) continue;
    field.value = before;
    throw wrong(name);
  }
  const then = link.get("then") ? link.get("then").split(".") : [];
  if (!then.every(id => /^\d{1,7}$/.test(id) && Number(id) <= data.endOfText)) throw wrong("then");
  return then.map(Number);
}

// The fragment is the one door to a story: a button, a link and the browser's own back all change it.
function go(link) {
  if (location.hash === "#" + link) open();
  else location.hash = link;
}

async function open() {
  const link = location.hash.slice(1);
  setTelling(null);
  if (!link) return;
  try {
    const then = readLink(link);
    showSettings();
    visit(link);
    const run = setTelling({});
    if (!stories.has(link)) {
      const ids = [data.endOfText, ...await ask("encode", fields.prompt.value)];
      stories.set(link, newStory(ids, then, [null]));
    }
    if (telling !== run) return;
    setTelling(null);
    show(stories.get(link));
    if (!shown.ended && !shown.told) await tell();
  } catch (error) {
    status.textContent = error.message;
  }
}

// tokens: the place of each, from 1, since 0 is the end-of-text that a story follows.
function newStory(ids, then, tokens) {
  const branch = then.length ? ids.length + then.length - 1 : 0; // the place of the token that the reader chose
  return {ids: [...ids, ...then], promptLength: ids.length, tokens, branch, ended: false, told: false};
}

function visit(link) {
  if (visited[here] === link) return;
  if (visited[here - 1] === link) here--;
  else if (visited[here + 1] === link) here++;
  else visited.splice(++here, Infinity, link);
}

// -- telling ------------------------------------------------------------------------------------------------------

function setTelling(run) {
  telling = run;
  button.textContent = run ? "Stop" : "Tell a story";
  button.formNoValidate = run !== null; // a wrong setting must not keep a story from being stopped
  goOn.disabled = run !== null || !shown || shown.ended;
  copy.disabled = !shown;
  back.disabled = here <= 0;
  forward.disabled = here + 1 >= visited.length;
  story.setAttribute("aria-busy", run !== null);
  return run;
}

function show(next) {
  choose(null);
  shown = next;
  element("hint").hidden = true;
  story.hidden = false;
  plain.textContent = "";
  decoder = new TextDecoder("utf-8", {ignoreBOM: true});
  story.replaceChildren();
  shown.tokens.forEach(token => token && append(token));
  setTelling(null);
  status.textContent = shown.ended ? "The end." : "";
}

// Continues the story that is shown: with what a link gives, then with what the model draws.
async function tell() {
  const run = setTelling({}), {ids, promptLength, tokens} = shown, size = data.config.block_size;
  shown.told = true;
  status.textContent = "Reading…";
  const note = promptLength <= size ? ""
    : ` The prompt has ${promptLength - 1} tokens, the context ${size}: the model sees the end of it.`;
  while (tokens.length <= promptLength - size) { // what it does not see
    tokens.push({place: tokens.length, id: ids[tokens.length], given: true});
    append(tokens.at(-1));
  }
  await ask("begin", {ids, promptLength, known: tokens.length, seed: fields.seed.valueAsNumber, ...options()});
  let count = 0, begun = 0;
  while (telling === run && !shown.ended && count < MAX_NEW_TOKENS) {
    const token = await ask("step");
    if (telling !== run || !token) continue;
    if (!token.given) {
      if (count === 0) status.textContent = "Telling…" + note;
      if (++count === 1) begun = performance.now();
      ids.push(token.id);
    }
    tokens.push(token);
    shown.ended = token.id === data.endOfText;
    append(token);
  }
  if (telling !== run) return;
  const speed = count > 1 ? `, ${Math.round((count - 1) / (performance.now() - begun) * 1000)} a second` : "";
  setTelling(null);
  const ending = `${shown.ended ? "The end" : "Cut off"} after ${count} token${count === 1 ? "" : "s"}`;
  status.textContent = `${ending}${speed}.${note}`;
  plain.textContent = story.textContent; // a screen reader reads the whole, once
}

function stop() {
  setTelling(null);
  status.textContent = "Stopped.";
}

// -- the text -----------------------------------------------------------------------------------------------------

let decoder; // keeps the bytes of a character until it is whole

// What a token is called: spaces in front of it are a dot, bytes that are no text are hexadecimal.
function label(id) {
  if (id === data.endOfText) return "the end";
  const bytes = Uint8Array.from(data.tokens[id], character => character.charCodeAt(0));
  const text = new TextDecoder("utf-8", {ignoreBOM: true}).decode(bytes);
  if (text.includes("\ufffd")) return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join(" ");
  return text.replace(/^ +| +$/g, spaces => "·".repeat(spaces.length)).replace(/\n/g, "↵").replace(/\t/g, "→");
}

// Adds a token to the story; a reader who looks at its end keeps the end in sight.
function append(token) {
  const below = () => story.getBoundingClientRect().bottom + 16 - innerHeight;
  const follows = !chosen && below() < 32;
  const span = document.createElement("span"), ends = token.id === data.endOfText;
  const bytes = ends ? new Uint8Array() : Uint8Array.from(data.tokens[token.id], byte => byte.charCodeAt(0));
  span.textContent = ends ? "∎" : decoder.decode(bytes, {stream: true});
  span.className = "token";
  span.classList.toggle("given", token.place < shown.promptLength);
  span.classList.toggle("taken", token.place === shown.branch);
  span.classList.toggle("end", ends);
  span.role = "option";
  span.tabIndex = token.place === 1 ? 0 : -1; // one stop for Tab, the arrow keys walk
  span.ariaSelected = "false";
  if (!span.textContent.trim() || ends) span.ariaLabel = label(token.id);
  if (!span.textContent.trim()) span.dataset.bytes = label(token.id);
  span.style.setProperty("--surprise", (Math.min(token.surprise ?? 0, 10) / 10 * 0.55).toFixed(3));
  story.append(span);
  element("count").textContent = `${token.place - ends} tokens, ${story.textContent.length - ends} characters`;
  if (follows && below() > 0) scrollBy(0, below());
}

// -- the controls -------------------------------------------------------------------------------------------------

function showSettings() {
  for (const name of ["temperature", "top-p"]) {
    element(`${name}-value`).textContent = element(name).value;
  }
}

form.addEventListener("submit", event => {
  event.preventDefault();
  if (telling) return stop();
  if (linkOf([]) === visited[here]) fields.seed.value = (fields.seed.valueAsNumber + 1) % 1e9; // another one
  go(linkOf([]));
});
fields.prompt.addEventListener("keydown", event => {
  const asked = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (asked && !telling && !button.disabled) form.requestSubmit(button);
});
for (const field of Object.values(fields)) {
  field.addEventListener("input", () => {
    showSettings();
    refresh();
  });
}
goOn.addEventListener("click", () => tell().catch(error => fail(error.message)));
back.addEventListener("click", () => history.back());
forward.addEventListener("click", () => history.forward());
copy.addEventListener("click", async () => {
  // the fragment is what counts; where a file lies on this computer is nobody's business
  const link = location.protocol === "file:" ? location.pathname.split("/").pop() + location.hash : location.href;
  try {
    await navigator.clipboard.writeText(link);
    status.textContent = "Copied: prompt, seed, settings and your choices.";
  } catch {
    status.textContent = "Copy the address of this page: it holds all of it.";
  }
});
addEventListener("hashchange", open);

// The model comes last in the file, so that the page is there before it.
addEventListener("DOMContentLoaded", async () => {
  try {
    if (!element("end")) throw new Error("the file is not whole, fetch it again.");
    data = JSON.parse(element("data").textContent);
    fields.seed.value = 1 + Math.floor(Math.random() * 999);
    showSettings();
    fillHeads();
    const weights = element("weights");
    ask = startWorker();
    await ask("load", {data, weights: weights.textContent});
    weights.remove(); // the worker has them: free the memory
    button.disabled = false;
    status.textContent = "Ready.";
    await open();
  } catch (error) {
    fail(error.message);
  }
});
