// Where the page has its splats from: the server, the page itself, or files that were dropped on it.

import { FileProblem } from "./files/problem.js";

/**
 * What is known of a place of the grid; viewer/scene/cells.py says what each means.
 * @typedef {{id: number, label: string, name: string, format: string, version: number, bytes: number,
 *   gaussians: number, sh_degree: number, up: string, prompt: string | null,
 *   lambda_esd: number | null, seed: number | null, guidance: string | null, step: number | null,
 *   steps: number | null, row: number, column: number, problem: string | null, data?: string,
 *   file?: File}} Info  data: base64, in a page that holds its splats; file: dropped
 * @typedef {{title: string, live: boolean, rows: string[], columns: string[], cells: Info[]}} Grid
 */

/** The server's ids are 0 and up; files that are dropped again are others. */
let lastDropped = 0;

/** @returns {Grid | null} what the page itself holds */
export function embeddedGrid() {
  const element = document.getElementById("scene");
  return element && JSON.parse(element.textContent);
}

/** @returns {Promise<Grid>} what the server shows now */
export async function fetchGrid() {
  const answer = await fetch("/scene.json");
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

/**
 * The grid of files that were dropped on the page, one beside the other. Of all formats, .spz alone
 * says which way is up.
 * @param {File[]} files
 * @returns {Grid}
 */
export function droppedGrid(files) {
  const unknown = { format: "", version: 1, gaussians: 0, sh_degree: 0, prompt: null, lambda_esd: null, seed: null,
    guidance: null, step: null, steps: null, problem: null };
  const columns = Math.ceil(Math.sqrt(files.length));
  const cells = files.map((file, i) => ({
    ...unknown, id: --lastDropped, file, up: /\.spz$/i.test(file.name) ? "y-up" : "y-down", label: file.name, name: file.name, bytes: file.size,
    row: Math.floor(i / columns), column: i % columns,
  }));
  const title = files.length === 1 ? files[0].name : `${files.length} files`;
  return { title, live: false, rows: [], columns: [], cells };
}

/**
 * The bytes of a cell's file.
 * @param {Info} info
 * @param {(fraction: number) => void} onProgress
 * @returns {Promise<Uint8Array>}
 */
export async function bytesOf(info, onProgress) {
  if (info.file) return new Uint8Array(await info.file.arrayBuffer());
  if (info.data !== undefined) return fromBase64(info.data);
  const answer = await fetch(`/splats/${info.id}?version=${info.version}`);
  if (!answer.ok) throw new FileProblem(`the server would not give it (${answer.status}: ${(await answer.text()).trim()})`);
  return collect(answer, onProgress);
}

function fromBase64(text) {
  return Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
}

async function collect(answer, onProgress) {
  const total = Number(answer.headers.get("Content-Length"));
  let bytes = new Uint8Array(total || 1 << 20);
  let length = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (length + value.length > bytes.length) {
      const larger = new Uint8Array(Math.max(2 * bytes.length, length + value.length));
      larger.set(bytes);
      bytes = larger;
    }
    bytes.set(value, length);
    length += value.length;
    onProgress(total ? length / total : 0);
  }
  return bytes.subarray(0, length);
}
