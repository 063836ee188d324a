// Splats in antimatter15's .splat: 32 bytes each, without spherical harmonics or a header.

import { FileProblem } from "./problem.js";

const SIZE = 32;

/**
 * Takes splats from a .splat file.
 * @param {Uint8Array} bytes
 * @returns {import("./splats.js").Source}
 */
export function readSplat(bytes) {
  if (!bytes.length || bytes.length % SIZE) {
    throw new FileProblem(`its ${bytes.length.toLocaleString("en")} bytes are no multiple of the ${SIZE} that a splat has`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const take = (i, splat) => {
    const at = i * SIZE;
    for (let k = 0; k < 3; k++) {
      splat.mean[k] = view.getFloat32(at + 4 * k, true);
      splat.scale[k] = view.getFloat32(at + 12 + 4 * k, true);
      splat.rgb[k] = bytes[at + 24 + k] / 255;
    }
    splat.opacity = bytes[at + 27] / 255;
    for (let k = 0; k < 4; k++) splat.quat[k] = bytes[at + 28 + k] / 128 - 1;
  };
  return { count: bytes.length / SIZE, shDegree: 0, take };
}
