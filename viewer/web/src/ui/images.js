// Images of what is seen: the canvas, and in a grid the names that the page lays over it.

import { byId, cellLabel, download, element, fileName } from "./page.js";

const MARGIN = 8;
const NAMED = ".cell-name, .column-name, .row-name";

export class Images {
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = byId("image");
    byId("shot").addEventListener("click", () => this.save());
  }

  /** Has the browser save a PNG of what is seen. */
  async save() {
    const { viewer } = this;
    const { background } = viewer.options;
    const isTransparent = byId("transparent").checked;
    if (isTransparent) viewer.setOptions({ background: "transparent" });
    await viewer.stage.settled();
    const sheet = this.newSheet();
    this.drawOn(sheet);
    if (isTransparent) viewer.setOptions({ background });
    sheet.toBlob((blob) => download(blob, fileName(byId("title").textContent, "png")));
  }

  /** A canvas of the image's size. */
  newSheet() {
    const sheet = element("canvas");
    sheet.width = this.canvas.width;
    sheet.height = this.canvas.height;
    return sheet;
  }

  /** Copies what is seen onto a canvas. */
  drawOn(sheet) {
    const context = sheet.getContext("2d");
    context.clearRect(0, 0, sheet.width, sheet.height);
    context.drawImage(this.canvas, 0, 0, sheet.width, sheet.height);
    if (this.viewer.wipe) this.nameSides(context);
    else if (this.viewer.seen().length > 1) this.nameCells(context);
  }

  nameCells(context) {
    const { left, top } = this.canvas.getBoundingClientRect();
    for (const named of byId("cells").querySelectorAll(NAMED)) {
      const box = named.getBoundingClientRect();
      this.write(context, named.textContent, box.left - left + MARGIN, box.top - top + box.height / 2, "left");
    }
  }

  nameSides(context) {
    const [a, b] = this.viewer.wipe.map(({ info }) => cellLabel(info));
    this.write(context, a, MARGIN, 3 * MARGIN, "left");
    this.write(context, b, this.canvas.clientWidth - MARGIN, 3 * MARGIN, "right");
  }

  /** Writes at a place in CSS pixels, legible on any colour. */
  write(context, text, x, y, align) {
    const ratio = this.viewer.stage.renderer.getPixelRatio();
    Object.assign(context, { font: `${13 * ratio}px system-ui, sans-serif`, textAlign: align, textBaseline: "middle", lineWidth: 3 * ratio, lineJoin: "round", strokeStyle: "#fff", fillStyle: "#000" });
    context.strokeText(text, x * ratio, y * ratio);
    context.fillText(text, x * ratio, y * ratio);
  }
}
