// Where the bulk of a cloud is, whatever floats around it.

/** At most this many splats are looked at. */
const SAMPLE = 50_000;
const LOW = 0.02;
const HIGH = 0.98;

/** @typedef {{low: number[], high: number[]}} Bounds */

/**
 * A box around the means from the 2nd to the 98th percentile along each axis, where a splat counts
 * by its opacity, and half a typical splat beyond.
 * @param {{numSplats: number, getSplat: (i: number) => any}} splats Spark's
 * @returns {Bounds} in the axes of the means
 */
export function boundsOf(splats) {
  const count = Math.min(splats.numSplats, SAMPLE);
  const weights = new Float64Array(count);
  const sizes = new Float64Array(count);
  const means = [0, 1, 2].map(() => new Float64Array(count));
  for (let i = 0; i < count; i++) {
    const { center, scales, opacity } = splats.getSplat(Math.floor((i * splats.numSplats) / count));
    weights[i] = opacity + 1e-6;
    sizes[i] = Math.max(scales.x, scales.y, scales.z);
    means[0][i] = center.x;
    means[1][i] = center.y;
    means[2][i] = center.z;
  }
  const [size] = percentiles(sizes, weights, [0.5]);
  const ends = means.map((each) => percentiles(each, weights, [LOW, HIGH]));
  return { low: ends.map(([low]) => low - size), high: ends.map(([, high]) => high + size) };
}

/** The smallest box around some boxes. */
export function union(boxes) {
  return {
    low: [0, 1, 2].map((k) => Math.min(...boxes.map(({ low }) => low[k]))),
    high: [0, 1, 2].map((k) => Math.max(...boxes.map(({ high }) => high[k]))),
  };
}

function percentiles(values, weights, fractions) {
  const order = Uint32Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]);
  const total = weights.reduce((sum, each) => sum + each, 0);
  const found = fractions.map(() => values[order.at(-1)]);
  let before = 0;
  let next = 0;
  for (const i of order) {
    before += weights[i];
    while (next < fractions.length && before >= fractions[next] * total) found[next++] = values[i];
  }
  return found;
}
