// The panel of options, kept in step with what the viewer has, whoever changed it.

import { SCALES } from "../viewer.js";
import { MODES } from "../scene/look.js";
import { byId } from "./page.js";

const OFFERED = ["system", "black", "white", "grey", "checker"];

export class Settings {
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.form = byId("settings");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.onChange("mode", ({ value }) => ({ mode: value }));
    this.onChange("degree", ({ value }) => ({ shDegree: Number(value) }));
    byId("scale").addEventListener("input", ({ target }) => viewer.setOptions({ splatScale: Number(target.value) }));
    byId("up").addEventListener("change", ({ target }) => viewer.setOptions({ up: target.value }));
    byId("background").addEventListener("change", ({ target }) => {
      viewer.setOptions({ background: target.value === "own" ? byId("color").value : target.value });
    });
    byId("color").addEventListener("input", ({ target }) => viewer.setOptions({ background: target.value }));
    viewer.addEventListener("options", () => this.show());
    viewer.addEventListener("cell", () => this.showDegrees());
    viewer.addEventListener("cells", () => this.showDegrees());
    this.show();
  }

  onChange(name, option) {
    for (const radio of this.form.elements[name]) {
      radio.addEventListener("change", () => this.viewer.setOptions(option(radio)));
    }
  }

  show() {
    const { mode, shDegree, splatScale, background, up, ui } = this.viewer.options;
    const { elements } = this.form;
    elements.mode.value = mode;
    elements.degree.value = String(Math.min(shDegree, this.mostDegrees()));
    byId("scale").value = splatScale;
    byId("scale-output").textContent = splatScale.toFixed(2);
    byId("up").value = up;
    byId("background").value = OFFERED.includes(background) ? background : "own";
    if (background.startsWith("#")) byId("color").value = background;
    document.body.classList.toggle("bare", !ui);
    document.body.classList.toggle("checker", background === "checker");
  }

  mostDegrees() {
    return Math.max(0, ...[...this.viewer.entries.values()].map(({ info }) => info.sh_degree));
  }

  /** Offers the degrees that some cell has. */
  showDegrees() {
    const most = this.mostDegrees();
    byId("degrees").hidden = most === 0;
    for (const radio of this.form.elements.degree) radio.parentElement.hidden = Number(radio.value) > most;
    this.form.elements.degree.value = String(Math.min(this.viewer.options.shDegree, most));
  }

  nextMode() {
    this.viewer.setOptions({ mode: after(MODES, this.viewer.options.mode) });
  }

  nextBackground() {
    this.viewer.setOptions({ background: after(OFFERED, this.viewer.options.background) });
  }

  scaleBy(factor) {
    const scale = Math.min(SCALES.most, Math.max(SCALES.least, this.viewer.options.splatScale * factor));
    this.viewer.setOptions({ splatScale: Number(scale.toFixed(2)) });
  }
}

const after = (list, item) => list[(list.indexOf(item) + 1) % list.length];
