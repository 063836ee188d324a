// Spherical harmonics in the words that Spark's ExtSplats keep in textures: the three channels of a
// coefficient share one exponent and have eight bits and a sign each.
//
// Spark's own writer rounds the exponent down and so cuts off whatever is above the power of two; its
// shader reads the word as value = byte · 2^(exponent − 15) / 255. Here it is rounded up.

/** Which array and which of its four words a splat has coefficient k in. */
const PLACES = [
  ["sh1", 0], ["sh1", 1], ["sh1", 2], ["sh1", 3],
  ["sh2", 0], ["sh2", 1], ["sh2", 2], ["sh2", 3],
  ["sh3a", 0], ["sh3a", 1], ["sh3a", 2], ["sh3a", 3],
  ["sh3b", 0], ["sh3b", 1], ["sh3b", 2],
];
const ARRAYS = [[], ["sh1"], ["sh1", "sh2"], ["sh1", "sh2", "sh3a", "sh3b"]];

export class ShWords {
  /**
   * @param {number} count splats
   * @param {number} degree 0 to 3
   */
  constructor(count, degree) {
    this.coefficients = (degree + 1) ** 2 - 1;
    /** Numbers that a splat has. */
    this.width = 3 * this.coefficients;
    /** By the names that ExtSplats know them by. */
    this.arrays = Object.fromEntries(ARRAYS[degree].map((name) => [name, new Uint32Array(4 * count)]));
  }

  /**
   * Keeps the coefficients of a splat.
   * @param {number} i which
   * @param {ArrayLike<number>} sh channel-major: all of red, then green, then blue
   */
  set(i, sh) {
    const n = this.coefficients;
    for (let k = 0; k < n; k++) {
      const [name, word] = PLACES[k];
      this.arrays[name][4 * i + word] = encode(sh[k], sh[n + k], sh[2 * n + k]);
    }
  }
}

function encode(r, g, b) {
  const largest = Math.max(Math.abs(r), Math.abs(g), Math.abs(b));
  if (largest === 0) return 0;
  const exponent = Math.min(31, Math.max(0, Math.ceil(Math.log2(largest)) + 15));
  const step = 2 ** (exponent - 15) / 255;
  const byte = (value) => Math.min(255, Math.round(Math.abs(value) / step));
  const signs = (r < 0 ? 1 : 0) | (g < 0 ? 2 : 0) | (b < 0 ? 4 : 0);
  return (byte(r) | (byte(g) << 8) | (byte(b) << 16) | (signs << 24) | (exponent << 27)) >>> 0;
}
