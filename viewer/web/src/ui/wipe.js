// Two cells in one place with a divider between, to be dragged or moved by keys.

import { byId, element } from "./page.js";

const STEP = 0.02;
const LEAP = 0.1;
const MOVES = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, PageDown: -LEAP, PageUp: LEAP, Home: -1, End: 1 };

export class Wipe {
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("./grid.js").GridView} grid
   */
  constructor(viewer, grid) {
    this.viewer = viewer;
    this.grid = grid;
    this.divider = byId("divider");
    this.selects = [byId("wipe-a"), byId("wipe-b")];
    this.button = byId("wipe");
    this.button.addEventListener("click", () => this.toggle());
    byId("wipe-close").addEventListener("click", () => this.end());
    this.selects.forEach((select) => select.addEventListener("change", () => this.choose()));
    this.divider.addEventListener("keydown", (event) => this.key(event));
    this.divider.addEventListener("pointerdown", (event) => this.divider.setPointerCapture(event.pointerId));
    this.divider.addEventListener("pointermove", (event) => this.drag(event));
    viewer.addEventListener("cells", () => this.offer());
    viewer.addEventListener("layout", () => this.show());
  }

  toggle() {
    const { viewer } = this;
    if (viewer.wipe) {
      this.end();
      return;
    }
    const entries = [...viewer.entries.values()];
    if (entries.length < 2) return;
    const first = viewer.solo ?? entries[0];
    viewer.setWipe([first, entries.find((entry) => entry !== first)]);
    this.divider.focus();
  }

  end() {
    this.viewer.setWipe(null);
    this.button.focus();
  }

  /** Lists the cells to choose from. */
  offer() {
    const entries = [...this.viewer.entries.values()];
    this.button.hidden = entries.length < 2;
    for (const select of this.selects) {
      select.replaceChildren(...entries.map(({ info }) => {
        const option = element("option", "", info.label || info.name);
        option.value = info.id;
        return option;
      }));
    }
  }

  choose() {
    this.viewer.setWipe(this.selects.map((select) => this.viewer.entries.get(Number(select.value))));
  }

  show() {
    const { wipe } = this.viewer;
    const { divide } = this.grid;
    byId("wipe-bar").hidden = this.divider.hidden = !wipe;
    this.button.setAttribute("aria-pressed", String(Boolean(wipe)));
    if (!wipe) return;
    wipe.forEach((entry, i) => {
      this.selects[i].value = entry.info.id;
    });
    this.divider.style.left = `${100 * divide}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * divide)));
  }

  key(event) {
    const move = MOVES[event.key];
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.grid.setDivide(this.grid.divide + move);
  }

  drag(event) {
    if (!this.divider.hasPointerCapture(event.pointerId)) return;
    const { left, width } = this.grid.canvas.getBoundingClientRect();
    this.grid.setDivide((event.clientX - left) / width);
  }
}
