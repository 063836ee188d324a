// What keys do wherever the focus is, but for fields, lists and the divider, which have their own.

import { byId } from "./page.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const NEARER = 0.9;
const LARGER = 1.1;
const OWN_KEYS = "input, select, textarea, dialog, #divider";

/**
 * @param {import("../viewer.js").Viewer} viewer
 * @param {{panels: any, settings: any, wipe: any, turntable: any, images: any, live: any}} parts
 */
export function listenToKeys(viewer, { panels, settings, wipe, turntable, images, live }) {
  const { view } = viewer;
  const actions = {
    "+": () => view.zoom(NEARER),
    "=": () => view.zoom(NEARER),
    "-": () => view.zoom(1 / NEARER),
    r: () => viewer.frameAll({ front: true }),
    f: () => viewer.frameAll(),
    t: () => turntable.toggle(),
    m: () => settings.nextMode(),
    b: () => settings.nextBackground(),
    p: () => images.save(),
    s: () => panels.toggle("settings"),
    i: () => panels.toggle("info"),
    w: () => wipe.toggle(),
    "[": () => settings.scaleBy(1 / LARGER),
    "]": () => settings.scaleBy(LARGER),
    "?": () => byId("help").showModal(),
    Escape: () => panels.back(),
    " ": () => live.togglePause(),
  };
  for (const degree of [0, 1, 2, 3]) actions[degree] = () => viewer.setOptions({ shDegree: degree });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isEscape = event.key === "Escape" && !byId("help").open;
    if (event.target.closest?.(OWN_KEYS) && !isEscape) return;
    if (event.key === " " && event.target.closest?.("button")) return;
    const arrow = ARROWS[event.key];
    const action = arrow ? () => (event.shiftKey ? view.shift(...arrow) : view.turn(...arrow)) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
