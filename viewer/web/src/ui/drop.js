// Files that are dropped on the page, or opened by its button, are shown in place of what was there.
// They do not leave the browser.

import { droppedGrid } from "../source.js";
import { byId, element } from "./page.js";
import { keepSaying, unsay } from "./messages.js";

export class Drop {
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {() => void} goBack shows again what was there before
   * @param {() => void} onShow called before files are shown
   */
  constructor(viewer, goBack, onShow) {
    this.viewer = viewer;
    this.goBack = goBack;
    this.onShow = onShow;
    this.depth = 0;
    byId("open").addEventListener("change", ({ target }) => {
      this.show([...target.files]);
      target.value = "";
    });
    document.addEventListener("dragenter", (event) => this.hover(event, 1));
    document.addEventListener("dragleave", (event) => this.hover(event, -1));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.hover(event, -this.depth);
      this.show([...event.dataTransfer.files]);
    });
  }

  hover(event, step) {
    if (![...event.dataTransfer.types].includes("Files")) return;
    this.depth += step;
    byId("dropping").hidden = this.depth <= 0;
  }

  show(files) {
    if (!files.length) return;
    this.onShow();
    this.viewer.isFramed = false;
    this.viewer.framedVersion = undefined;
    this.viewer.setGrid(droppedGrid(files));
    if (!this.goBack) return;
    const back = element("button", "", "Back");
    back.type = "button";
    back.addEventListener("click", () => {
      unsay("dropped");
      this.goBack();
    });
    keepSaying("dropped", files.length === 1 ? "This file is in your browser only. " : "These files are in your browser only. ", back);
  }
}
