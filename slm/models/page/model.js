// GPT-2: what model.py computes, a token at a time, from the parameters that to_page.py packed.

function decodeBase64(text) {
  const bytes = new Uint8Array(text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0));
  const piece = 2 ** 20; // characters, a multiple of 4
  for (let start = 0, at = 0; start < text.length; start += piece) {
    const binary = atob(text.slice(start, start + piece));
    for (let i = 0; i < binary.length; i++) bytes[at++] = binary.charCodeAt(i);
  }
  return bytes;
}

// The inverse of pack() in to_page.py: {tensors, input, bytes, dot}. In tensors, a vector is a Float32Array and a
// matrix {rows, columns, stride, scales, at}: the number in a column of a row is scales[row] times the level of
// bytes[at + row * stride + column]. `dot` multiplies a row by `input`.
function readTensors(shapes, base64) {
  const packed = decodeBase64(base64), padded = columns => Math.ceil(columns / 8) * 8;
  const matrices = shapes.map(([, shape]) => shape).filter(shape => shape.length === 2);
  const longest = Math.max(...matrices.map(([, columns]) => padded(columns)));
  const size = matrices.reduce((sum, [rows, columns]) => sum + rows * padded(columns), 4 * longest);
  const {buffer, dot} = newArithmetic(size);
  const bytes = new Uint8Array(buffer, 0, size).fill(127, 4 * longest); // 127 means 0: the padding of rows
  let float = 0, to = 4 * longest, from = 4 * shapes.reduce((sum, [, shape]) => sum + shape[0], 0); // offsets, in bytes
  const tensors = Object.fromEntries(shapes.map(([name, [rows, columns]]) => {
    const scales = new Float32Array(packed.buffer, float, rows).slice();
    float += 4 * rows;
    if (columns === undefined) return [name, scales];
    const at = to, stride = padded(columns);
    for (let row = 0; row < rows; row++, from += columns, to += stride) {
      bytes.set(packed.subarray(from, from + columns), to);
    }
    return [name, {rows, columns, stride, scales, at}];
  }));
  return {tensors, input: new Float32Array(buffer, 0, longest), bytes, dot};
}

function layerNorm(x, weight, bias, out) {
  let mean = 0, variance = 0;
  for (const value of x) mean += value / x.length;
  for (const value of x) variance += (value - mean) ** 2 / x.length;
  const scale = 1 / Math.sqrt(variance + 1e-5);
  for (let i = 0; i < x.length; i++) out[i] = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0);
  return out;
}

function gelu(x) { // GPT-2's approximation by tanh
  const scale = Math.sqrt(2 / Math.PI);
  for (let i = 0; i < x.length; i++) {
    const value = x[i];
    x[i] = 0.5 * value * (1 + Math.tanh(scale * value * (1 + 0.044715 * value * value)));
  }
}

// Pre-norm blocks, learned positions, a head tied to the embedding. Parameters have GPT-2's names.
class Model {
  constructor(config, {tensors, input, bytes, dot}) {
    Object.assign(this, {config, tensors, input, bytes, dot});
    const width = config.n_embd, array = length => new Float64Array(length); // JavaScript computes in 64 bits
    this.x = array(width);
    this.normed = array(width);
    this.qkv = array(3 * width);
    this.mixed = array(width);
    this.hidden = array(4 * width);
    this.change = array(width);
    this.scores = array(config.block_size);
    this.logits = array(config.vocab_size);
    const cache = () => Array.from({length: config.n_layer}, () => new Float32Array(config.block_size * width));
    this.keys = cache(); // of each layer, (block_size, n_embd)
    this.values = cache();
    this.context = []; // the tokens whose keys and values are cached, from position 0
    // where the newest token looked: of each layer, of each head, a share of each position in 255ths
    this.attention = new Uint8Array(config.n_layer * config.n_head * config.block_size);
  }

  // out = matrix x + bias
  linear(name, x, out) {
    const {rows, stride, scales, at} = this.tensors[`${name}.weight`], bias = this.tensors[`${name}.bias`];
    this.input.set(x);
    for (let row = 0; row < rows; row++) {
      out[row] = scales[row] * UNIT * this.dot(at + row * stride, stride) + (bias ? bias[row] : 0);
    }
    return out;
  }

  norm(name) {
    return layerNorm(this.x, this.tensors[`${name}.weight`], this.tensors[`${name}.bias`], this.normed);
  }

  embed(name, row) {
    const {columns, stride, scales, at} = this.tensors[`${name}.weight`];
    for (let i = 0; i < columns; i++) {
      const t = this.bytes[at + row * stride + i] - 127;
      this.x[i] += scales[row] * UNIT * t * (127 ** 2 + t ** 2);
    }
  }

  add(change) {
    for (let i = 0; i < change.length; i++) this.x[i] += change[i];
  }

  // Reads the next token of a context that it has not read; true where that was the last one. The last token is always
  // read, for what follows from it. What it read of the same beginning is kept.
  read(context) {
    let same = 0;
    while (same < context.length - 1 && this.context[same] === context[same]) same++;
    this.context.length = Math.min(same, this.context.length);
    this.step(context[this.context.length], this.context.length);
    this.context.push(context[this.context.length]);
    return this.context.length === context.length;
  }

  step(token, position) {
    this.x.fill(0);
    this.embed("transformer.wte", token);
    this.embed("transformer.wpe", position);
    for (let layer = 0; layer < this.config.n_layer; layer++) {
      const block = `transformer.h.${layer}`;
      this.norm(`${block}.ln_1`);
      this.linear(`${block}.attn.c_attn`, this.normed, this.qkv);
      this.attend(layer, position);
      this.add(this.linear(`${block}.attn.c_proj`, this.mixed, this.change));
      this.norm(`${block}.ln_2`);
      this.linear(`${block}.mlp.c_fc`, this.normed, this.hidden);
      gelu(this.hidden);
      this.add(this.linear(`${block}.mlp.c_proj`, this.hidden, this.change));
    }
  }

  // Attention of the token at `position` over itself and all before, whose keys and values are cached: qkv -> mixed.
  attend(layer, position) {
    const {qkv, mixed, scores} = this, width = this.x.length, size = width / this.config.n_head;
    const keys = this.keys[layer], values = this.values[layer];
    keys.set(qkv.subarray(width, 2 * width), position * width);
    values.set(qkv.subarray(2 * width), position * width);
    mixed.fill(0);
    let at = layer * this.config.n_head * (position + 1);
    for (let head = 0; head < width; head += size) { // where a head's numbers begin
      let largest = -Infinity, total = 0;
      for (let t = 0; t <= position; t++) {
        let sum = 0;
        for (let i = head; i < head + size; i++) sum += qkv[i] * keys[t * width + i];
        scores[t] = sum / Math.sqrt(size);
        largest = Math.max(largest, scores[t]);
      }
      for (let t = 0; t <= position; t++) total += scores[t] = Math.exp(scores[t] - largest);
      for (let t = 0; t <= position; t++) {
        const share = scores[t] / total;
        this.attention[at++] = Math.round(255 * share);
        for (let i = head; i < head + size; i++) mixed[i] += share * values[t * width + i];
      }
    }
  }

  // What the newest token leads to, as `logits` takes it: (n_embd,).
  state() {
    return this.norm("transformer.ln_f");
  }

  // The logits of all tokens after a state; the next call overwrites them.
  logitsOf(state) {
    return this.linear("transformer.wte", state, this.logits);
  }
}
