// The text at the start of a .ply file: which numbers follow, and what was said about them.

import { FileProblem } from "./problem.js";

const SIZES = {
  char: 1, int8: 1, uchar: 1, uint8: 1, short: 2, int16: 2, ushort: 2, uint16: 2,
  int: 4, int32: 4, uint: 4, uint32: 4, float: 4, float32: 4, double: 8, float64: 8,
};
const LONGEST_HEADER = 1 << 20;
const OURS = "gs_esd ";

/**
 * @typedef {{name: string, type: string, offset: number}} Property  offset: bytes from a row's start
 * @typedef {{name: string, count: number, size: number, properties: Property[], hasList: boolean}}
 *   Element  size: bytes a row
 * @typedef {{format: string, elements: Element[], comments: string[], start: number}} Header
 *   start: bytes of the header
 */

/**
 * Reads the header of a .ply file.
 * @param {Uint8Array} bytes the whole file
 * @returns {Header}
 * @throws {FileProblem} if it is not one
 */
export function readHeader(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, LONGEST_HEADER));
  const end = text.match(/^end_header[ \t]*\r?\n/m);
  if (!text.startsWith("ply") || !end) throw new FileProblem("it is not a .ply file");
  /** @type {Header} */
  const header = { format: "", elements: [], comments: [], start: end.index + end[0].length };
  for (const line of text.slice(0, end.index).split(/\r?\n/)) readLine(header, line);
  if (!["ascii", "binary_little_endian", "binary_big_endian"].includes(header.format)) {
    throw new FileProblem(`its numbers are in no known form (${header.format || "none is named"})`);
  }
  return header;
}

/**
 * What our own files say about themselves: prompt, λ, seed, up and the like; empty for others.
 * @param {Header} header
 * @returns {Record<string, unknown>}
 */
export function metadata(header) {
  const ours = header.comments.filter((each) => each.startsWith(OURS));
  const text = ours.map((each) => each.slice(OURS.length).replace(/\\$/, "")).join("");
  try {
    const values = JSON.parse(text);
    return values && typeof values === "object" && !Array.isArray(values) ? values : {};
  } catch {
    return {}; // other programs may keep a part of the comments, which costs the image nothing
  }
}

function readLine(header, line) {
  const words = line.trim().split(/\s+/);
  const element = header.elements.at(-1);
  if (words[0] === "format") header.format = words[1];
  else if (words[0] === "comment") header.comments.push(line.replace(/^\s*comment /, ""));
  else if (words[0] === "element") header.elements.push(newElement(words));
  else if (words[0] === "property" && !element) throw new FileProblem("its header is out of order");
  else if (words[0] === "property" && words[1] === "list") element.hasList = true;
  else if (words[0] === "property") addProperty(element, words);
}

function newElement([, name, count]) {
  if (!/^\d{1,15}$/.test(count ?? "")) throw new FileProblem("its header does not say how many splats it has");
  return { name, count: Number(count), size: 0, properties: [], hasList: false };
}

function addProperty(element, [, type, name]) {
  if (!(type in SIZES)) throw new FileProblem(`it has numbers of the unknown kind ${type}`);
  element.properties.push({ name, type, offset: element.size });
  element.size += SIZES[type];
}
