// Splats in PlayCanvas' .compressed.ply: 256 share a chunk's bounds, within which a mean, a scale and
// a colour are a 32-bit word each; so is a quaternion; spherical harmonics are bytes in ±4.

import { readRows } from "./ply_rows.js";
import { FileProblem } from "./problem.js";

const CHUNK = 256;
const AXES = ["x", "y", "z"];
const CHANNELS = ["r", "g", "b"];

/**
 * Takes splats from a compressed file.
 * @param {Uint8Array} bytes
 * @param {import("./ply_header.js").Header} header
 * @returns {import("./splats.js").Source}
 */
export function readCompressedPly(bytes, header) {
  const chunks = readRows(bytes, header, "chunk");
  const vertices = readRows(bytes, header, "vertex");
  const words = ["position", "rotation", "scale", "color"].map((each) => vertices.columns.get(`packed_${each}`));
  if (words.includes(undefined) || chunks.count * CHUNK < vertices.count) {
    throw new FileProblem("its splats are not packed as in a .compressed.ply");
  }
  const sh = shRows(bytes, header, vertices.count);
  const bounds = boundsReader(chunks);
  const take = (i, splat) => {
    const [position, rotation, scale, color] = words.map((each) => vertices.values[i * vertices.width + each]);
    const chunk = Math.floor(i / CHUNK);
    unpack(position, splat.mean, bounds("", AXES, chunk));
    unpack(scale, splat.scale, bounds("scale_", AXES, chunk));
    for (let k = 0; k < 3; k++) splat.scale[k] = Math.exp(splat.scale[k]);
    const range = bounds("", CHANNELS, chunk);
    for (let k = 0; k < 3; k++) splat.rgb[k] = lerp(range, k, ((color >>> (24 - 8 * k)) & 255) / 255);
    splat.opacity = (color & 255) / 255;
    unpackQuat(rotation, splat.quat);
    for (let k = 0; k < sh.width; k++) splat.sh[k] = (sh.values[i * sh.width + k] + 0.5) / 32 - 4;
  };
  return { count: vertices.count, shDegree: [0, 9, 24, 45].indexOf(sh.width), take };
}

function shRows(bytes, header, count) {
  const element = header.elements.find((each) => each.name === "sh");
  // gsplat writes one without numbers at degree 0.
  if (!element?.properties.length) return { values: new Float64Array(0), width: 0 };
  const rows = readRows(bytes, header, "sh");
  if (![9, 24, 45].includes(rows.width) || rows.count !== count) {
    throw new FileProblem("its spherical harmonics do not fit its splats");
  }
  return rows;
}

/** Gives the six bounds of three numbers in a chunk; colours are in [0, 1] where none are told. */
function boundsReader({ values, width, columns }) {
  const found = new Float64Array(6);
  return (prefix, names, chunk) => {
    names.forEach((name, k) => {
      const low = columns.get(`min_${prefix}${name}`);
      const high = columns.get(`max_${prefix}${name}`);
      found[k] = low === undefined ? 0 : values[chunk * width + low];
      found[3 + k] = high === undefined ? 1 : values[chunk * width + high];
    });
    return found;
  };
}

const lerp = (bounds, k, fraction) => bounds[k] * (1 - fraction) + bounds[3 + k] * fraction;

/** Three numbers of 11, 10 and 11 bits. */
function unpack(word, out, bounds) {
  out[0] = lerp(bounds, 0, (word >>> 21) / 2047);
  out[1] = lerp(bounds, 1, ((word >>> 11) & 1023) / 1023);
  out[2] = lerp(bounds, 2, (word & 2047) / 2047);
}

/** Two bits say which component is the largest, ten each hold one of the others in ±1/√2. */
function unpackQuat(word, out) {
  const largest = word >>> 30;
  let squares = 0;
  let shift = 20;
  for (let k = 0; k < 4; k++) {
    if (k === largest) continue;
    out[k] = (((word >>> shift) & 1023) / 1023 - 0.5) * Math.SQRT2;
    squares += out[k] ** 2;
    shift -= 10;
  }
  out[largest] = Math.sqrt(Math.max(0, 1 - squares));
}
