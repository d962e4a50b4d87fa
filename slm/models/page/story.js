// How a story goes on: from logits to shares, from a share to a token. And the worker's side of the page.

// The share of each token in what the next one is drawn from. temperature 0: the likeliest has all. topK > 0 keeps the
// k likeliest tokens; topP < 1 keeps the likeliest that together reach p.
function sharesOf(logits, {temperature, topK, topP}) {
  let likeliest = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[likeliest]) likeliest = i;
  if (temperature === 0) return logits.map((_, id) => Number(id === likeliest));
  const shares = logits.map(logit => Math.exp((logit - logits[likeliest]) / temperature));
  const cutTopK = topK > 0 && topK < shares.length;
  if (cutTopK || topP < 1) {
    const sorted = shares.slice().sort().reverse(), kept = cutTopK ? sorted.subarray(0, topK) : sorted;
    let left = topP < 1 ? topP * kept.reduce((sum, share) => sum + share, 0) : Infinity, last = 0;
    while (last + 1 < kept.length && (left -= kept[last]) > 0) last++;
    for (let i = 0; i < shares.length; i++) if (shares[i] < kept[last]) shares[i] = 0;
  }
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map(share => share / total);
}

// How unexpected a token is, in bits: minus the logarithm of the model's own share, without the settings.
function surpriseOf(logits, id) {
  const largest = logits.reduce((largest, logit) => Math.max(largest, logit));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  return Math.log2(total) - (logits[id] - largest) / Math.LN2;
}

// The id that a random number from [0, 1) draws.
function draw(shares, random) {
  let likeliest = 0;
  for (let id = 0; id < shares.length; id++) {
    random -= shares[id];
    if (random < 0) return id;
    if (shares[id] > shares[likeliest]) likeliest = id;
  }
  return likeliest; // where rounding leaves something of the number
}

// Number `place` of a seed's random numbers from [0, 1), SplitMix64 (Steele et al. 2014). A hash of the two: so a story
// that goes on elsewhere, or was opened from a link, draws the same numbers at the same places.
function uniform(seed, place) {
  const wrap = x => BigInt.asUintN(64, x);
  let x = wrap(BigInt(seed) + BigInt(place + 1) * 0x9E3779B97F4A7C15n);
  x = wrap((x ^ x >> 30n) * 0xBF58476D1CE4E5B9n);
  x = wrap((x ^ x >> 27n) * 0x94D049BB133111EBn);
  return Number((x ^ x >> 31n) >> 40n) / 2 ** 24;
}

// Where the context begins that token number n follows. The model sees the end of a prompt that is too long. When the
// context is full, it keeps the newer half: positions are learned, so it cannot slide by one token.
function contextStart(promptLength, n, size) {
  let start = Math.max(0, promptLength - size);
  while (n - start > size) start += size + 1 - Math.max(1, size >> 1);
  return start;
}

// A story token by token. ids: end-of-text, which every story follows in training, the prompt, and what else is given;
// `known` of them the page has seen with their shares.
class Story {
  constructor(model, endOfText, {ids, promptLength, known, seed, ...options}) {
    Object.assign(this, {model, endOfText, ids, promptLength, seed, options});
    this.size = model.config.block_size;
    this.next = Math.max(known, contextStart(promptLength, promptLength, this.size) + 1); // the place of the next token
  }

  // Reads one token of the context; null until it has read them all, then what it knows of the next token:
  // {place, id, given, surprise, state, start, attention}. surprise: in bits. attention: where the model looked to
  // choose it, (n_layer, n_head, place - start) in 255ths.
  step() {
    const place = this.next, start = contextStart(this.promptLength, place, this.size);
    if (!this.model.read(this.ids.slice(start, place))) return null;
    const state = this.model.state().slice(), logits = this.model.logitsOf(state);
    const given = place < this.ids.length;
    if (!given) this.ids.push(draw(sharesOf(logits, this.options), uniform(this.seed, place - this.promptLength)));
    const id = this.ids[this.next++];
    const {n_layer, n_head} = this.model.config;
    const attention = this.model.attention.slice(0, n_layer * n_head * (place - start));
    return {place, id, given, surprise: surpriseOf(logits, id), state, start, attention};
  }
}

const LIKELIEST = 5; // how many alternatives the page shows

// What can follow a state: {top: the likeliest five and `id`, as [{id, rank, share}], kept: how many tokens have a
// share}. Cut tokens keep their rank.
function choices(model, state, id, options) {
  const logits = model.logitsOf(state), shares = sharesOf(logits, options);
  const rank = id => logits.reduce((rank, logit) => rank + (logit > logits[id]), 1);
  const top = [];
  for (let i = 0; i < logits.length; i++) {
    let at = top.length;
    while (at > 0 && logits[i] > logits[top[at - 1]]) at--;
    top.splice(at, 0, i);
    top.length = Math.min(top.length, LIKELIEST);
  }
  if (!top.includes(id)) top.push(id);
  return {top: top.map(id => ({id, rank: rank(id), share: shares[id]})),
          kept: shares.reduce((count, share) => count + (share > 0), 0)};
}

// A prompt and ids that together are these ids: as much of them as a text says whose ids they are.
function asPrompt(tokenizer, ids) {
  for (let length = ids.length; ; length--) {
    const text = tokenizer.decode(ids.slice(0, length));
    if (text !== null && tokenizer.encode(text).join() === ids.slice(0, length).join()) {
      return {prompt: text, then: ids.slice(length)};
    }
  }
}

// The worker: one answer to each message, in their order.
function serve() {
  let model, tokenizer, endOfText, story;
  const answers = {
    load({data, weights}) {
      tokenizer = new Tokenizer(data.tokens);
      model = new Model(data.config, readTensors(data.tensors, weights));
      endOfText = data.endOfText;
    },
    encode: text => tokenizer.encode(text),
    asPrompt: ids => asPrompt(tokenizer, ids),
    begin: given => { story = new Story(model, endOfText, given); },
    step: () => story.step(),
    choices: ({state, id, options}) => choices(model, state, id, options),
  };
  onmessage = ({data: [name, argument]}) => postMessage(answers[name](argument));
}
