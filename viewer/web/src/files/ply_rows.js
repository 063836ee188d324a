// The numbers of an element of a .ply file, whatever form they are written in.

import { FileProblem } from "./problem.js";

const READERS = {
  char: "getInt8", int8: "getInt8", uchar: "getUint8", uint8: "getUint8",
  short: "getInt16", int16: "getInt16", ushort: "getUint16", uint16: "getUint16",
  int: "getInt32", int32: "getInt32", uint: "getUint32", uint32: "getUint32",
  float: "getFloat32", float32: "getFloat32", double: "getFloat64", float64: "getFloat64",
};

/**
 * Numbers in rows: the value of column c in row i is values[i * width + c].
 * @typedef {{values: Float32Array | Float64Array, width: number, count: number,
 *   columns: Map<string, number>}} Rows
 */

/**
 * Reads an element's rows.
 * @param {Uint8Array} bytes the whole file
 * @param {import("./ply_header.js").Header} header
 * @param {string} name the element's
 * @returns {Rows}
 * @throws {FileProblem} if the file is cut short, or lists of numbers are in the way
 */
export function readRows(bytes, header, name) {
  const index = header.elements.findIndex((each) => each.name === name);
  if (index < 0) throw new FileProblem(`it has no ${name}, so it holds no splats`);
  const element = header.elements[index];
  if (header.elements.slice(0, index + 1).some((each) => each.hasList)) {
    throw new FileProblem("it holds lists of numbers, as meshes do, where splats have plain numbers");
  }
  const before = header.elements.slice(0, index);
  if (header.format === "ascii") return fromText(bytes, header, element, before);
  const start = before.reduce((sum, each) => sum + each.count * each.size, header.start);
  return fromBinary(bytes, start, element, header.format === "binary_little_endian");
}

function fromBinary(bytes, start, element, littleEndian) {
  const { count, size, properties } = element;
  if (start + count * size > bytes.length) throw cutShort(element);
  if (littleEndian && properties.every(({ type }) => /^float(32)?$/.test(type))) {
    // Copied, because numbers of four bytes must start at a multiple of four.
    const values = new Float32Array(bytes.slice(start, start + count * size).buffer);
    return rows(values, element);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * size);
  const values = new Float64Array(count * properties.length); // holds packed words, too
  let next = 0;
  for (let i = 0; i < count; i++) {
    for (const { type, offset } of properties) {
      values[next++] = view[READERS[type]](i * size + offset, littleEndian);
    }
  }
  return rows(values, element);
}

function fromText(bytes, header, element, before) {
  const words = new TextDecoder("latin1").decode(bytes.subarray(header.start)).split(/\s+/);
  if (words[0] === "") words.shift();
  const skipped = before.reduce((sum, each) => sum + each.count * each.properties.length, 0);
  const length = element.count * element.properties.length;
  if (words.length < skipped + length || (length && words[skipped + length - 1] === "")) {
    throw cutShort(element);
  }
  const values = new Float64Array(length);
  for (let i = 0; i < length; i++) values[i] = Number(words[skipped + i]);
  return rows(values, element);
}

function rows(values, { count, properties }) {
  const columns = new Map(properties.map(({ name }, i) => [name, i]));
  return { values, width: properties.length, count, columns };
}

function cutShort({ count }) {
  return new FileProblem(`it is cut short: it promises ${count.toLocaleString("en")} splats`);
}
