// Splats in the standard .ply file: log scales, logit opacities, wxyz quaternions, and channel-major
// spherical harmonics, found by their names.

import { metadata } from "./ply_header.js";
import { readRows } from "./ply_rows.js";
import { FileProblem } from "./problem.js";

const SH_Y0 = 0.28209479177387814; // ½ sqrt(1/π)
const NAMES = [
  "x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
  "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
];

/**
 * Takes splats from a standard file.
 * @param {Uint8Array} bytes
 * @param {import("./ply_header.js").Header} header
 * @returns {import("./splats.js").Source}
 */
export function readPly(bytes, header) {
  const rows = readRows(bytes, header, "vertex");
  const missing = NAMES.filter((name) => !rows.columns.has(name));
  if (missing.length) throw new FileProblem(`it lacks ${missing.join(", ")}, which splats have`);
  const isOurs = "gs-esd" in metadata(header);
  if (!isOurs && looksActivated(rows)) {
    throw new FileProblem(
      "it seems to hold activated values: every opacity lies in [0, 1] and no scale is negative, "
      + "as after sigmoid and exp, where the standard has logits and logarithms. "
      + "Repair it with: python -m gs_esd.export FILE OUT.ply --activated",
    );
  }
  return { count: rows.count, shDegree: shDegree(rows), take: reader(rows) };
}

function shDegree({ columns }) {
  const rest = [...columns.keys()].filter((name) => name.startsWith("f_rest_")).length;
  const degree = [0, 9, 24, 45].indexOf(rest);
  if (degree < 0) throw new FileProblem(`it has ${rest} f_rest numbers a splat, where 0, 9, 24 or 45 would do`);
  return degree;
}

/** Fills a splat with what row i says. */
function reader({ values, width, columns }) {
  const at = NAMES.map((name) => columns.get(name));
  const rest = [...columns.keys()].filter((name) => name.startsWith("f_rest_")).length;
  const restAt = Array.from({ length: rest }, (_, k) => columns.get(`f_rest_${k}`));
  return (i, splat) => {
    const row = i * width;
    for (let k = 0; k < 3; k++) {
      splat.mean[k] = values[row + at[k]];
      splat.rgb[k] = 0.5 + SH_Y0 * values[row + at[3 + k]];
      splat.scale[k] = Math.exp(values[row + at[7 + k]]);
    }
    splat.opacity = 1 / (1 + Math.exp(-values[row + at[6]]));
    for (let k = 0; k < 4; k++) splat.quat[k] = values[row + at[10 + k]];
    for (let k = 0; k < rest; k++) splat.sh[k] = values[row + restAt[k]];
  };
}

/** Every opacity in [0, 1] and no scale negative: neither is to be expected of logits and logarithms. */
function looksActivated({ values, width, count, columns }) {
  const opacity = columns.get("opacity");
  const scales = ["scale_0", "scale_1", "scale_2"].map((name) => columns.get(name));
  for (let row = 0; row < count * width; row += width) {
    if (values[row + opacity] < 0 || values[row + opacity] > 1) return false;
    if (scales.some((scale) => values[row + scale] < 0)) return false;
  }
  return count > 0;
}
