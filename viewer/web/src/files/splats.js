// Splats as Spark draws them, made from a file's bytes.
//
// Our own readers take the three formats that this project writes, because they keep what Spark's
// would lose: colours outside [0, 1] before the spherical harmonics are added, coefficients beyond
// ±1, text and big-endian files, compressed files of degree 0. Spark reads all others.

import { ExtSplats, PackedSplats, SplatFileType } from "@sparkjsdev/spark";
import { Color, Quaternion, Vector3 } from "three";
import { boundsOf } from "./bounds.js";
import { readCompressedPly } from "./compressed_ply.js";
import { readPly } from "./ply.js";
import { metadata, readHeader } from "./ply_header.js";
import { FileProblem } from "./problem.js";
import { ShWords } from "./sh_words.js";
import { readSplat } from "./splat.js";

/**
 * One splat in the file's axes: standard deviations, wxyz, opacity in [0, 1], the colour without
 * spherical harmonics, and their coefficients, channel-major.
 * @typedef {{mean: number[], scale: number[], quat: number[], opacity: number, rgb: number[],
 *   sh: Float64Array}} Splat
 * @typedef {{count: number, shDegree: number, take: (i: number, splat: Splat) => void}} Source
 * @typedef {{splats: ExtSplats | PackedSplats, count: number, shDegree: number, leftOut: number,
 *   bounds: import("./bounds.js").Bounds, metadata: Record<string, unknown>}} Loaded
 *   leftOut: how many splats had numbers that are not finite; bounds: in the file's axes
 */

/** Milliseconds after which reading lets the page breathe. */
const BREATH = 30;

const SPARKS = {
  spz: SplatFileType.SPZ, ksplat: SplatFileType.KSPLAT, sog: SplatFileType.PCSOGSZIP, zip: SplatFileType.PCSOGSZIP,
};

/** How files may end that can be shown. */
export const ENDINGS = [".ply", ".splat", ...Object.keys(SPARKS).map((each) => `.${each}`)];

/**
 * Reads a file of splats.
 * @param {Uint8Array} bytes
 * @param {string} name the file's, whose ending tells the format
 * @returns {Promise<Loaded>}
 * @throws {FileProblem} if it cannot be shown
 */
export async function readSplats(bytes, name) {
  const ending = name.toLowerCase().split(".").at(-1);
  if (ending === "splat") return ours(readSplat(bytes), {});
  if (ending in SPARKS) return sparks(bytes, name, ending);
  if (ending !== "ply") {
    throw new FileProblem(`files of its kind are not known here; known are ${ENDINGS.join(", ")}`);
  }
  const header = readHeader(bytes);
  const isCompressed = header.elements.some((each) => each.name === "chunk");
  return ours((isCompressed ? readCompressedPly : readPly)(bytes, header), metadata(header));
}

async function ours(source, said) {
  const { count, shDegree, take } = source;
  if (!count) throw new FileProblem("it holds no splats");
  const splats = new ExtSplats({ maxSplats: count });
  const words = new ShWords(count, shDegree);
  const splat = { mean: [0, 0, 0], scale: [0, 0, 0], quat: [0, 0, 0, 0], opacity: 0, rgb: [0, 0, 0], sh: new Float64Array(45) };
  const [mean, scale, quat, rgb] = [new Vector3(), new Vector3(), new Quaternion(), new Color()];
  let shown = 0;
  let rested = performance.now();
  for (let i = 0; i < count; i++) {
    take(i, splat);
    if (hasFiniteNumbers(splat, words.width)) {
      const [w, x, y, z] = splat.quat;
      quat.set(x, y, z, w);
      if (quat.lengthSq() === 0) quat.identity();
      // Color.set would take the numbers for linear light.
      [rgb.r, rgb.g, rgb.b] = splat.rgb;
      splats.setSplat(shown, mean.fromArray(splat.mean), scale.fromArray(splat.scale), quat, splat.opacity, rgb);
      words.set(shown++, splat.sh);
    }
    if (i % 1024 === 0 && performance.now() - rested > BREATH) {
      await new Promise((resume) => setTimeout(resume));
      rested = performance.now();
    }
  }
  if (!shown) throw new FileProblem("all its splats have numbers that are not finite");
  splats.numSplats = shown;
  splats.extra = words.arrays;
  splats.updateTextures();
  return { splats, count: shown, shDegree, leftOut: count - shown, bounds: boundsOf(splats), metadata: said };
}

function hasFiniteNumbers(splat, coefficients) {
  const { mean, scale, quat, opacity, rgb, sh } = splat;
  let sum = opacity;
  for (let k = 0; k < 3; k++) sum += mean[k] * 0 + scale[k] * 0 + rgb[k] * 0 + quat[k] * 0;
  for (let k = 0; k < coefficients; k++) sum += sh[k] * 0;
  return Number.isFinite(sum + quat[3] * 0);
}

async function sparks(bytes, name, ending) {
  const splats = new PackedSplats({ fileBytes: bytes, fileName: name, fileType: SPARKS[ending] });
  try {
    await splats.initialized;
  } catch (error) {
    throw new FileProblem(explain(ending, String(error?.message ?? error)));
  }
  if (!splats.numSplats) throw new FileProblem("it holds no splats");
  return { splats, count: splats.numSplats, shDegree: splats.getNumSh(), leftOut: 0, bounds: boundsOf(splats), metadata: {} };
}

function explain(ending, reason) {
  if (ending === "spz" && /gzip/i.test(reason)) {
    return "it is of version 4 of .spz or later, of which only 1 to 3 can be read here. Convert it to .ply first";
  }
  return `reading it failed (${reason})`;
}
