// What is on show and how: the cells, which of them are seen, and the options that all share. The
// user interface calls its methods and follows its events; nothing here knows of buttons.

import { Color, LinearSRGBColorSpace } from "three";
import { union } from "./files/bounds.js";
import { Loader } from "./loader.js";
import { Cell } from "./scene/cell.js";
import { Look, MODES } from "./scene/look.js";
import { Stage } from "./scene/stage.js";
import { View } from "./scene/view.js";

/** Backgrounds by name; none is transparent. "system" is light or dark as the page is. */
export const BACKGROUNDS = { system: "", black: "#000000", white: "#ffffff", grey: "#808080", checker: null, transparent: null };
const SYSTEM = { light: "#eef0f3", dark: "#15171b" };
export const SCALES = { least: 0.1, most: 2 };

const dark = matchMedia("(prefers-color-scheme: dark)");

/** A cell with what is known of it, and how far it has come. */
export class Entry {
  constructor(info, viewer) {
    this.info = info;
    this.viewer = viewer;
    this.cell = new Cell(viewer.stage.renderer, viewer.look);
    this.progress = 0;
    /** Why there is nothing to see, in words. */
    this.problem = null;
    this.isLoading = this.isWanted = this.isGone = false;
  }

  show(loaded) {
    this.problem = null;
    if (this.info.file) this.info = learned(this.info, loaded);
    this.cell.show(loaded, this.viewer.frameOf(this.info));
    this.viewer.shown(this);
  }

  fail(words) {
    this.problem = words;
    this.cell.clear();
    this.viewer.stage.redraw();
  }
}

/** What a dropped file told about itself once it was read. */
function learned(info, { count, shDegree, metadata }) {
  const told = Object.fromEntries(Object.keys(info).filter((name) => name in metadata).map((name) => [name, metadata[name]]));
  const { file, id, label, name, version, bytes, row, column } = info;
  return { ...info, ...told, file, id, label, name, version, bytes, row, column, gaussians: count, sh_degree: shDegree };
}

/**
 * Events: "cells" (other cells), "cell" (detail: an Entry has changed), "parts" (which cells are seen),
 * "options".
 */
export class Viewer extends EventTarget {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.stage = new Stage(canvas);
    this.look = new Look();
    this.view = new View(canvas, () => this.stage.wake());
    this.stage.view = this.view;
    this.loader = new Loader((entry) => this.loadingChanged(entry));
    /** @type {Map<number, Entry>} */
    this.entries = new Map();
    /** @type {import("./source.js").Grid} */
    this.grid = { title: "", live: false, rows: [], columns: [], cells: [] };
    this.options = { background: "system", shDegree: 3, splatScale: 1, mode: "splats", up: "file", ui: true };
    /** The cell that is seen alone, or the two beside a divider; null for all. */
    this.solo = null;
    this.wipe = null;
    this.isFramed = false;
    dark.addEventListener("change", () => this.applyBackground());
    this.applyBackground();
  }

  /** Shows other cells; those that have stayed keep what they show. */
  setGrid(grid) {
    if (isSame(this.grid, grid)) return;
    this.grid = grid;
    const wanted = new Map(grid.cells.map((info) => [info.id, info]));
    for (const [id, entry] of this.entries) {
      if (!wanted.has(id)) this.remove(entry);
    }
    for (const info of grid.cells) {
      if (this.entries.has(info.id)) this.update(info);
      else this.add(info);
    }
    // In the order of the grid, which is that of the tab key.
    this.entries = new Map(grid.cells.map(({ id }) => [id, this.entries.get(id)]));
    if (this.solo && this.solo.isGone) this.solo = null;
    if (this.wipe?.some((entry) => entry.isGone)) this.wipe = null;
    this.tell("cells");
  }

  add(info) {
    const entry = new Entry(info, this);
    this.entries.set(info.id, entry);
    this.stage.isBusy = true;
    this.loader.request(entry);
  }

  remove(entry) {
    entry.isGone = true;
    entry.cell.dispose();
    this.entries.delete(entry.info.id);
  }

  /** Takes news of a cell; old news is dropped. */
  update(info) {
    const entry = this.entries.get(info.id);
    if (!entry || info.version < entry.info.version) return;
    const isNewer = info.version > entry.info.version;
    entry.info = info;
    if (isNewer) {
      this.stage.isBusy = true;
      this.loader.request(entry);
    }
    this.tell("cell", entry);
  }

  loadingChanged(entry) {
    this.stage.isBusy = !this.loader.isIdle();
    this.stage.wake();
    this.tell("cell", entry);
  }

  shown(entry) {
    if (!this.isFramed) this.frameWhenMeasured();
    this.stage.wake();
    this.tell("cell", entry);
  }

  /** Looks at the front of everything that has come, unless somebody has moved the camera since. */
  frameWhenMeasured() {
    const isUntouched = this.framedVersion === undefined || this.framedVersion === this.view.version;
    if (isUntouched) this.frameAll({ front: true });
    this.framedVersion = this.view.version;
    this.isFramed = !isUntouched || [...this.entries.values()].every((entry) => entry.cell.mesh || entry.problem);
  }

  /** Fits all that is seen into the image. */
  frameAll({ front = false } = {}) {
    const boxes = this.seen().map((entry) => entry.cell.bounds()).filter(Boolean);
    if (boxes.length) this.view.frame(union(boxes), { front });
  }

  /** @returns {Entry[]} the cells that can be seen now */
  seen() {
    if (this.wipe) return this.wipe;
    return this.solo ? [this.solo] : [...this.entries.values()];
  }

  /** Shows one cell alone, or all again. */
  setSolo(entry) {
    this.wipe = null;
    this.solo = entry;
    this.tell("parts");
  }

  /** Shows two cells in one place, with a divider between; or all again. */
  setWipe(pair) {
    this.wipe = pair;
    if (pair) this.solo = null;
    this.tell("parts");
  }

  frameOf(info) {
    return this.options.up === "file" ? info.up : this.options.up;
  }

  /** Changes some of the options. Those it does not know, and values that make no sense, are errors. */
  setOptions(changes) {
    for (const [name, value] of Object.entries(changes)) check(name, value);
    Object.assign(this.options, changes);
    const { look, options } = this;
    const before = `${look.mode} ${look.splatScale} ${look.shDegree}`;
    Object.assign(look, { mode: options.mode, splatScale: options.splatScale, shDegree: options.shDegree });
    if (before !== `${look.mode} ${look.splatScale} ${look.shDegree}`) {
      this.entries.forEach((entry) => entry.cell.restyle());
    }
    if ("up" in changes) {
      this.entries.forEach((entry) => entry.cell.setFrame(this.frameOf(entry.info)));
      this.frameAll({ front: true });
    }
    this.applyBackground();
    this.stage.redraw();
    this.tell("options");
  }

  /** The colour behind the splats, as CSS writes it; null where there is none. */
  backgroundColor() {
    const { background } = this.options;
    if (background === "system") return dark.matches ? SYSTEM.dark : SYSTEM.light;
    return background in BACKGROUNDS ? BACKGROUNDS[background] : background;
  }

  applyBackground() {
    const color = this.backgroundColor();
    // As it is: what is drawn is never taken for linear light.
    const raw = new Color().setStyle(color ?? "#000000", LinearSRGBColorSpace);
    this.stage.background = { color: raw, alpha: color === null ? 0 : 1 };
    this.stage.redraw();
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Whether two grids have the same cells in the same versions. */
const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const CHECKS = {
  background: (value) => value in BACKGROUNDS || /^#[0-9a-f]{6}$/i.test(value),
  shDegree: (value) => [0, 1, 2, 3].includes(value),
  splatScale: (value) => typeof value === "number" && value >= SCALES.least && value <= SCALES.most,
  mode: (value) => MODES.includes(value),
  up: (value) => ["file", "y-down", "z-up", "y-up"].includes(value),
  ui: (value) => typeof value === "boolean",
};

function check(name, value) {
  if (!CHECKS[name]?.(value)) throw new RangeError(`the option ${name} cannot be ${value}`);
}
