// Byte-level byte-pair encoding, as tiktoken does it. Bytes are the characters U+0000 to U+00FF of a string.

class Tokenizer {
  // GPT-2's way of cutting a text into words. What tiktoken calls \s is \p{White_Space}; JavaScript's \s is not.
  static words = new RegExp([
    "'(?:[sdmt]|ll|ve|re)", " ?\\p{L}+", " ?\\p{N}+", " ?[^\\p{White_Space}\\p{L}\\p{N}]+",
    "\\p{White_Space}+(?!\\P{White_Space})", "\\p{White_Space}+"].join("|"), "gu");

  constructor(tokens) {
    this.tokens = tokens; // in the order of their ids, which is the order of merges
    this.ids = new Map(tokens.map((token, id) => [token, id]));
  }

  encode(text) {
    const utf8 = new TextEncoder();
    const bytes = word => Array.from(utf8.encode(word), byte => String.fromCharCode(byte));
    return (text.match(Tokenizer.words) ?? []).flatMap(word => this.merge(bytes(word)));
  }

  // The ids of a word, from its bytes. Of all tokens that two neighbours make, the one with the lowest id is made
  // wherever it can be, from left to right, until no two neighbours make one.
  merge(parts) {
    if (this.ids.has(parts.join(""))) return [this.ids.get(parts.join(""))];
    for (;;) {
      let lowest = Infinity;
      for (let i = 1; i < parts.length; i++) {
        lowest = Math.min(lowest, this.ids.get(parts[i - 1] + parts[i]) ?? Infinity);
      }
      if (lowest === Infinity) return parts.map(part => this.ids.get(part));
      const token = this.tokens[lowest], merged = [];
      for (let i = 0; i < parts.length; i++) {
        const found = i + 1 < parts.length && parts[i] + parts[i + 1] === token;
        merged.push(found ? token : parts[i]);
        if (found) i++;
      }
      parts = merged;
    }
  }

  bytes(id) {
    return Uint8Array.from(this.tokens[id], character => character.charCodeAt(0));
  }

  // The text of some ids, or null where they are not whole characters.
  decode(ids) {
    const bytes = Uint8Array.from(ids.flatMap(id => [...this.bytes(id)]));
    try {
      return new TextDecoder("utf-8", {ignoreBOM: true, fatal: true}).decode(bytes);
    } catch {
      return null;
    }
  }
}
