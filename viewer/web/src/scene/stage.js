// The one canvas and WebGL context that every cell is drawn into, and when: only if something
// changed, and only the cells that did.

import { Color, Vector4, WebGLRenderer } from "three";
import { Sheet } from "./sheet.js";

const MOST_PIXELS_PER_POINT = 2;
/** Milliseconds that an image takes where it is drawn by software, or of far too many splats. */
const SLOW = 150;

/**
 * A part of the canvas: where the image is laid out, and the part of that which is seen.
 * CSS pixels from the top left.
 * @typedef {{left: number, top: number, width: number, height: number}} Rect
 * @typedef {{cell: import("./cell.js").Cell, rect: Rect, clip: Rect}} Part
 */

export class Stage {
  /**
   * @param {HTMLCanvasElement} canvas
   * @throws {Error} where there is no WebGL 2
   */
  constructor(canvas) {
    this.canvas = canvas;
    // What was drawn stays, because cells are drawn one by one.
    this.renderer = new WebGLRenderer({ canvas, antialias: false, alpha: true, preserveDrawingBuffer: true });
    this.renderer.autoClear = false;
    this.sheet = new Sheet(this.renderer);
    this.view = null;
    /** @type {Part[]} */
    this.parts = [];
    this.background = { color: new Color(0), alpha: 1 };
    /** Called before each frame, and after each that drew something. */
    this.hooks = { before: [], after: [] };
    this.waiting = [];
    this.draws = 0;
    this.fence = null;
    /** How long the last image took, in milliseconds. */
    this.drawMs = 0;
    this.isScheduled = false;
    this.isDirty = true;
    this.isBusy = false;
  }

  /** Has the next frame look whether there is something to do. */
  wake() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame((now) => {
      this.isScheduled = false;
      this.frame(now);
    });
  }

  /** Has everything drawn anew. */
  redraw() {
    this.isDirty = true;
    this.wake();
  }

  setSize(width, height) {
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, MOST_PIXELS_PER_POINT));
    this.renderer.setSize(width, height, false);
    this.sheet.setSize(this.canvas.width, this.canvas.height);
    this.redraw();
  }

  /** @param {Part[]} parts what is to be seen, the later over the earlier */
  setParts(parts) {
    this.parts = parts;
    this.redraw();
  }

  /**
   * Sorts and draws what is due. While the camera moves, splats are drawn in the order of a moment
   * ago, which nobody sees; but where drawing is slow, each image waits for its order.
   */
  frame(now) {
    if (this.isCardBusy()) {
      this.wake();
      return;
    }
    this.hooks.before.forEach((hook) => hook(now));
    this.view.update();
    if (this.drawnVersion !== this.view.version) this.isDirty = true;
    const isSlow = this.drawMs > SLOW;
    if (!isSlow || !this.hasNews()) this.sort();
    if (!isSlow || !this.parts.some(({ cell }) => cell.isSorting)) this.draw();
    if (this.isSettled()) this.waiting.splice(0).forEach((resolve) => resolve());
  }

  /** Whether some cell has been sorted and not drawn since. */
  hasNews() {
    return this.parts.some(({ cell }) => cell.isStale);
  }

  sort() {
    for (const { cell } of this.parts) cell.sort(this.view, () => this.wake());
  }

  draw() {
    const all = this.isDirty;
    const drawn = this.parts.filter((part) => all || part.cell.isStale);
    this.isDirty = false;
    this.drawnVersion = this.view.version;
    if (!drawn.length && !all) return;
    this.drawParts(drawn, all);
    this.hooks.after.forEach((hook) => hook());
  }

  /** Whether the last image is still being drawn; measures how long that takes. */
  isCardBusy() {
    if (!this.fence) return false;
    const gl = this.renderer.getContext();
    const status = gl.clientWaitSync(this.fence, 0, 0);
    if (status === gl.TIMEOUT_EXPIRED) return true;
    gl.deleteSync(this.fence);
    this.fence = null;
    this.drawMs = performance.now() - this.drawnAt;
    return false;
  }

  drawParts(parts, all) {
    const { sheet, background, renderer } = this;
    if (all) sheet.fill(this.pixels({ left: 0, top: 0, width: this.canvas.clientWidth, height: this.canvas.clientHeight }), background);
    for (const { cell, rect, clip } of parts) {
      sheet.fill(this.pixels(clip), background);
      sheet.target.viewport.copy(this.pixels(rect));
      renderer.setRenderTarget(sheet.target);
      cell.draw(this.view);
    }
    sheet.show();
    const gl = renderer.getContext();
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    this.drawnAt = performance.now();
    this.draws++;
    this.wake(); // to see when it is done
  }

  /** A rectangle in device pixels from the bottom left, as WebGL counts. */
  pixels({ left, top, width, height }) {
    const ratio = this.renderer.getPixelRatio();
    const edges = [left, top, left + width, top + height].map((each) => Math.round(each * ratio));
    return new Vector4(edges[0], this.canvas.height - edges[3], edges[2] - edges[0], edges[3] - edges[1]);
  }

  isSettled() {
    return !this.isBusy && !this.fence && !this.isDirty && this.drawnVersion === this.view.version
      && this.parts.every(({ cell }) => cell.isSettled(this.view));
  }

  /** Resolves when the image is the one for everything that was asked for so far. */
  settled() {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.wake();
    });
  }
}
