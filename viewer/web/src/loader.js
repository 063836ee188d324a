// Brings cells' files in, a few at a time. While one is on its way, of the newer versions of it only
// the newest is fetched next; the others are never seen.

import { FileProblem } from "./files/problem.js";
import { readSplats } from "./files/splats.js";
import { bytesOf } from "./source.js";

const AT_ONCE = 3;

export class Loader {
  /** @param {(entry: import("./viewer.js").Entry) => void} onChange called as a cell's state changes */
  constructor(onChange) {
    this.onChange = onChange;
    this.queue = [];
    this.running = 0;
  }

  /** Has the entry show its info's version, as soon as may be. */
  request(entry) {
    if (entry.isWanted) return;
    entry.isWanted = true;
    if (!entry.isLoading) {
      this.queue.push(entry);
      this.next();
    }
  }

  /** Whether nothing is to be brought in any more. */
  isIdle() {
    return !this.running && !this.queue.length;
  }

  next() {
    while (this.running < AT_ONCE && this.queue.length) this.run(this.queue.shift());
  }

  async run(entry) {
    this.running++;
    entry.isLoading = true;
    entry.isWanted = false;
    const { info } = entry;
    try {
      await this.load(entry, info);
    } catch (error) {
      if (!entry.isGone) entry.fail(describe(info, error));
    }
    this.running--;
    entry.isLoading = false;
    if (entry.isWanted && !entry.isGone) this.queue.push(entry);
    if (!entry.isGone) this.onChange(entry);
    this.next();
  }

  async load(entry, info) {
    if (info.problem !== null) {
      entry.fail(info.problem);
      return;
    }
    const bytes = await bytesOf(info, (fraction) => {
      entry.progress = fraction;
      this.onChange(entry);
    });
    const loaded = await readSplats(bytes, info.file ? info.name : info.format);
    if (entry.isGone) loaded.splats.dispose();
    else entry.show(loaded);
  }
}

function describe(info, error) {
  if (error instanceof FileProblem) return `${info.name} cannot be shown: ${error.message}.`;
  if (error instanceof RangeError) return `${info.name} cannot be shown: there is not enough memory for it.`;
  console.error(error);
  return `${info.name} could not be fetched (${error.message}).`;
}
