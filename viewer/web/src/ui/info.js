// The panel that tells what is known of a splat: of the one alone, or of each that is seen.

import { byId, element } from "./page.js";

const UNITS = ["B", "kB", "MB", "GB"];

export class InfoPanel {
  /** @param {import("../viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    for (const name of ["cells", "cell", "parts"]) viewer.addEventListener(name, () => this.show());
  }

  show() {
    if (byId("info").hidden) return;
    byId("info").replaceChildren(...this.viewer.seen().map((entry) => describe(entry)));
  }
}

function describe({ info, problem, cell }) {
  const list = element("dl");
  for (const [name, value] of facts(info, cell.loaded)) {
    if (value !== null && value !== undefined && value !== "") list.append(element("dt", "", name), element("dd", "", String(value)));
  }
  if (problem) list.append(element("dt", "", "Problem"), element("dd", "", problem));
  return element("section", "", "", element("h2", "", info.label || info.name), list);
}

function facts(info, loaded) {
  return [
    ["Prompt", info.prompt],
    ["Guidance", info.guidance],
    ["λ", info.lambda_esd],
    ["Seed", info.seed],
    ["Step", info.step === null ? null : `${whole(info.step)}${info.steps === null ? "" : ` of ${whole(info.steps)}`}`],
    ["Gaussians", info.gaussians ? whole(info.gaussians) : null],
    ["Not finite, left out", loaded?.leftOut ? whole(loaded.leftOut) : null],
    ["SH degree", info.gaussians ? info.sh_degree : null],
    ["Size", info.bytes ? size(info.bytes) : null],
    ["File", info.name],
    ["Up", info.up],
  ];
}

const whole = (value) => value.toLocaleString("en");

function size(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
}
