// Where each cell is on the page: one alone, rows and columns with their names, or as many columns
// as give the largest images where those would be too small. The style sheet lays the boxes out; the
// stage draws behind them.

import { byId, cellLabel, element } from "./page.js";

/** CSS pixels below which a cell of the table is too small. */
const LEAST_WIDTH = 130;
const LEAST_HEIGHT = 110;
/** How far a press may wander, and how long it may last, to be a click. */
const CLICK_PIXELS = 5;
const CLICK_MS = 500;

export class GridView {
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = byId("image");
    this.container = byId("cells");
    /** @type {Map<import("../viewer.js").Entry, {box: HTMLElement, name: HTMLElement, state: HTMLElement}>} */
    this.boxes = new Map();
    /** Where the divider is, as a part of the width. */
    this.divide = 0.5;
    viewer.addEventListener("cells", () => this.build());
    viewer.addEventListener("cell", ({ detail }) => this.describe(detail));
    viewer.addEventListener("parts", () => this.layOut({ keepFit: true }));
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    // The boxes also move where the bars above and below them come and go.
    new ResizeObserver(() => this.layOut()).observe(this.container);
    this.listenForClicks();
  }

  build() {
    this.boxes = new Map([...this.viewer.entries.values()].map((entry) => [entry, this.newBox(entry)]));
    this.boxes.forEach((_, entry) => this.describe(entry));
    this.layOut();
  }

  newBox(entry) {
    const name = element("button", "cell-name");
    name.type = "button";
    name.addEventListener("click", () => this.viewer.setSolo(entry));
    const state = element("p", "cell-state");
    return { box: element("div", "cell", "", name, state), name, state };
  }

  describe(entry) {
    const found = this.boxes.get(entry);
    if (!found) return;
    found.name.textContent = cellLabel(entry.info);
    found.name.title = `Show ${entry.info.label || entry.info.name} alone`;
    found.state.textContent = entry.problem ?? (entry.isLoading && !entry.cell.mesh ? loadingText(entry) : "");
    found.state.classList.toggle("problem", entry.problem !== null);
  }

  resize() {
    this.viewer.stage.setSize(this.canvas.clientWidth, this.canvas.clientHeight);
    this.layOut();
  }

  layOut({ keepFit = false } = {}) {
    const { viewer, container, canvas } = this;
    const seen = viewer.seen();
    const isGrid = seen.length > 1 && !viewer.wipe;
    const isTable = isGrid && this.fitsTable();
    container.className = isTable ? "table" : isGrid ? "flow" : "single";
    const boxes = viewer.wipe ? [] : seen.map((entry) => this.boxes.get(entry).box);
    const headings = isTable ? this.headings() : [];
    container.replaceChildren(...headings, ...boxes);
    if (isTable) this.placeTable();
    else this.placeFlow(isGrid ? mostRoomy(seen.length, container) : 1);
    const whole = { left: 0, top: 0, width: canvas.clientWidth, height: canvas.clientHeight };
    const parts = viewer.wipe ? this.wipeParts(whole) : seen.map((entry) => this.part(entry, isGrid ? null : whole));
    const [{ rect } = { rect: whole }] = parts;
    viewer.view.setAspect(rect.width / rect.height || 1, Math.max(1, whole.height / rect.height), keepFit);
    viewer.stage.setParts(parts);
    viewer.tell("layout");
  }

  fitsTable() {
    const { rows, columns } = this.viewer.grid;
    if (!rows.length || !columns.length) return false;
    const { width, height } = this.container.getBoundingClientRect();
    return width / columns.length >= LEAST_WIDTH && height / rows.length >= LEAST_HEIGHT;
  }

  headings() {
    const { rows, columns } = this.viewer.grid;
    const place = (text, className, row, column) => {
      const heading = element("div", className, text);
      heading.style.gridArea = `${row} / ${column}`;
      return heading;
    };
    return [
      ...columns.map((text, i) => place(text, "column-name", 1, i + 2)),
      ...rows.map((text, i) => place(text, "row-name", i + 2, 1)),
    ];
  }

  placeTable() {
    const { rows, columns } = this.viewer.grid;
    this.container.style.gridTemplate = `auto repeat(${rows.length}, minmax(0, 1fr)) / auto repeat(${columns.length}, minmax(0, 1fr))`;
    this.boxes.forEach(({ box }, { info }) => {
      box.style.gridArea = `${info.row + 2} / ${info.column + 2}`;
    });
  }

  placeFlow(columns) {
    this.container.style.gridTemplate = `none / repeat(${columns}, minmax(0, 1fr))`;
    this.boxes.forEach(({ box }) => {
      box.style.gridArea = "auto";
    });
  }

  part(entry, whole) {
    const box = this.boxes.get(entry).box.getBoundingClientRect();
    const { left, top } = this.canvas.getBoundingClientRect();
    const rect = whole ?? { left: box.left - left, top: box.top - top, width: box.width, height: box.height };
    return { cell: entry.cell, entry, rect, clip: rect };
  }

  wipeParts(whole) {
    const edge = Math.round(this.divide * whole.width);
    const [a, b] = this.viewer.wipe;
    return [
      { cell: a.cell, entry: a, rect: whole, clip: { ...whole, width: edge } },
      { cell: b.cell, entry: b, rect: whole, clip: { ...whole, left: edge, width: whole.width - edge } },
    ];
  }

  setDivide(fraction) {
    this.divide = Math.min(1, Math.max(0, fraction));
    this.layOut();
  }

  listenForClicks() {
    let pressed = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      pressed = event.isPrimary && event.button === 0 ? event : null;
    });
    this.canvas.addEventListener("pointerup", (event) => {
      const isClick = pressed && event.timeStamp - pressed.timeStamp < CLICK_MS
        && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < CLICK_PIXELS;
      pressed = null;
      if (isClick && !this.viewer.wipe && !this.viewer.solo && this.boxes.size > 1) this.click(event);
    });
  }

  click({ clientX, clientY }) {
    for (const [entry, { box }] of this.boxes) {
      const { left, right, top, bottom } = box.getBoundingClientRect();
      if (clientX >= left && clientX < right && clientY >= top && clientY < bottom) this.viewer.setSolo(entry);
    }
  }
}

function loadingText({ progress }) {
  return progress > 0 && progress < 1 ? `Loading ${Math.round(100 * progress)} %` : "Loading";
}

/** The number of columns for which squares that fill the container are largest. */
function mostRoomy(count, container) {
  const { width, height } = container.getBoundingClientRect();
  const side = (columns) => Math.min(width / columns, height / Math.ceil(count / columns));
  return Array.from({ length: count }, (_, i) => i + 1).reduce((best, each) => (side(each) > side(best) ? each : best), 1);
}
