// The one sum that takes nearly all the time: a row of a matrix, 8 bits a number, times a vector.
//
// A byte b means the level t (127² + t²) / (2 · 127³) with t = b - 127: see LEVELS in to_page.py. WebAssembly takes
// eight bytes at a time; on one core that is 5 times as fast as the loop in JavaScript.

const UNIT = 1 / (2 * 127 ** 3); // t (127² + t²) is a whole number below 2²³, exact in a float32

// {buffer, dot}: a buffer of so many bytes and dot(at, length), the sum over i < length of
// t(byte at + i) * (127² + t²) * (float32 number i at the buffer's beginning). length is a multiple of 8.
function newArithmetic(size) {
  try {
    const memory = new WebAssembly.Memory({initial: Math.ceil(size / 2 ** 16)});
    const {exports} = new WebAssembly.Instance(new WebAssembly.Module(dotProgram()), {page: {memory}});
    return {buffer: memory.buffer, dot: exports.dot};
  } catch { // a browser without WebAssembly's SIMD instructions
    const buffer = new ArrayBuffer(size);
    return {buffer, dot: dotInJavaScript(buffer)};
  }
}

function dotInJavaScript(buffer) {
  const bytes = new Uint8Array(buffer), x = new Float32Array(buffer, 0, buffer.byteLength >> 2);
  const levels = Float64Array.from({length: 256}, (_, byte) => (byte - 127) * (127 ** 2 + (byte - 127) ** 2));
  return (at, length) => {
    let even = 0, odd = 0; // two sums that do not wait for each other
    for (let i = 0; i < length; i += 2) {
      even += levels[bytes[at + i]] * x[i];
      odd += levels[bytes[at + i + 1]] * x[i + 1];
    }
    return even + odd;
  };
}

// The same as a WebAssembly module. Each line is a few instructions and what they do; opcodes are those of
// https://webassembly.github.io/spec/core/appendix/index-instructions.html
function dotProgram() {
  const I32 = 0x7f, F32 = 0x7d, V128 = 0x7b, VOID = 0x40;
  const [at, length, x, end, c127, c16129, t, q, low, high] = Array(10).keys(); // parameters, then local variables
  const get = variable => [0x20, variable], set = variable => [0x21, variable], tee = variable => [0x22, variable];
  const simd = (...opcode) => [0xfd, ...opcode];
  const constant = value => { // signed LEB128
    const bytes = [];
    for (; value >= 64; value >>= 7) bytes.push(value & 127 | 128);
    return [0x41, ...bytes, value];
  };
  const add = [0x6a], notEqual = [0x47], addF32 = [0x92], loop = [0x03, VOID], branchIf = [0x0d, 0], close = [0x0b];
  const splat16 = simd(0x10), add16 = simd(0x8e, 1), subtract16 = simd(0x91, 1), multiply16 = simd(0x95, 1);
  const productLow = simd(0xbc, 1), productHigh = simd(0xbd, 1); // of 16-bit numbers, in 32 bits
  const toFloats = simd(0xfa, 1), addFloats = simd(0xe4, 1), multiplyFloats = simd(0xe6, 1);
  const load8 = simd(0x02, 0, 0); // eight bytes as eight 16-bit numbers
  const loadFloats = offset => simd(0x00, 2, offset), lane = number => simd(0x1f, number);

  const code = [
    [2, 2, I32, 6, V128], // local variables by type: x, end; the other six
    ...[constant(127), splat16, set(c127), constant(127 ** 2), splat16, set(c16129)],
    ...[get(at), get(length), add, set(end)],
    loop,
    ...[get(at), load8, get(c127), subtract16, tee(t)], // t = bytes - 127
    ...[get(t), multiply16, get(c16129), add16, set(q)], // q = t² + 127²
    ...[get(low), get(t), get(q), productLow, toFloats, get(x), loadFloats(0), multiplyFloats, addFloats, set(low)],
    ...[get(high), get(t), get(q), productHigh, toFloats, get(x), loadFloats(16), multiplyFloats, addFloats, set(high)],
    ...[get(x), constant(32), add, set(x)],
    ...[get(at), constant(8), add, tee(at), get(end), notEqual, branchIf], // once more, until at = end
    close,
    ...[get(low), get(high), addFloats, set(low)], // the sum of eight sums
    ...[get(low), lane(0), get(low), lane(1), addF32, get(low), lane(2), addF32, get(low), lane(3), addF32],
    close,
  ].flat();

  const size = count => count < 128 ? [count] : [count & 127 | 128, count >> 7]; // unsigned LEB128
  const counted = items => [...size(items.length), ...items];
  const name = text => counted([...new TextEncoder().encode(text)]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
    ...[1, ...counted([1, 0x60, 2, I32, I32, 1, F32])], // types: one, (i32, i32) -> f32
    ...[2, ...counted([1, ...name("page"), ...name("memory"), 2, 0, 1])], // imports: a memory of at least 1 page
    ...[3, ...counted([1, 0])], // functions: one, of the first type
    ...[7, ...counted([1, ...name("dot"), 0, 0])], // exports: the first function
    ...[10, ...counted([1, ...counted(code)])], // code
  ]);
}
