// Follows what the server tells: cells whose files have changed, other cells, and that it is gone.

import { fetchGrid } from "./source.js";
import { byId, setIcon } from "./ui/page.js";
import { keepSaying, unsay } from "./ui/messages.js";

/** How long a connection may be away before that is said, and until another is tried. */
const PATIENCE_MS = 3000;
const RETRY_MS = 5000;

export class Live {
  /** @param {import("./viewer.js").Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.isOn = false;
    this.isPaused = false;
    /** What was told during a pause: the newest of each cell, and whether there are others. */
    this.held = new Map();
    this.isGridHeld = false;
    /** Whether something has changed since the page was opened. */
    this.hasNews = false;
    byId("pause").addEventListener("click", () => this.togglePause());
    for (const name of ["cell", "cells", "parts"]) viewer.addEventListener(name, () => this.show());
  }

  start() {
    this.isOn = true;
    this.connect();
  }

  stop() {
    this.isOn = false;
    this.events?.close();
    this.connected();
    this.show();
  }

  connect() {
    if (!this.isOn) return;
    this.events = new EventSource("/events");
    this.events.addEventListener("cell", ({ data }) => this.cell(JSON.parse(data)));
    this.events.addEventListener("scene", () => this.refresh());
    this.events.addEventListener("open", () => {
      this.connected();
      // What was missed while the connection was away; and since the page asked for the first time.
      this.refresh();
    });
    this.events.addEventListener("error", () => {
      this.lost();
      if (this.events.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), RETRY_MS);
    });
  }

  connected() {
    clearTimeout(this.timer);
    this.timer = null;
    unsay("connection");
    byId("live").classList.remove("lost");
  }

  lost() {
    byId("live").classList.add("lost");
    this.timer ??= setTimeout(() => {
      keepSaying("connection", "The connection to the viewer is lost. What is here can still be looked at; the page goes on following when the viewer is back.");
    }, PATIENCE_MS);
  }

  cell(info) {
    this.hasNews = true;
    if (this.isPaused) this.held.set(info.id, info);
    else this.viewer.update(info);
    this.show();
  }

  async refresh() {
    if (this.isPaused) {
      this.isGridHeld = true;
      return;
    }
    try {
      const grid = await fetchGrid();
      if (this.isOn) this.viewer.setGrid(grid);
    } catch {
      this.lost();
    }
  }

  togglePause() {
    if (byId("live").hidden) return;
    this.isPaused = !this.isPaused;
    if (!this.isPaused) {
      if (this.isGridHeld) this.refresh();
      this.held.forEach((info) => this.viewer.update(info));
      this.held.clear();
      this.isGridHeld = false;
    }
    this.show();
  }

  show() {
    const { entries } = this.viewer;
    const infos = [...entries.values()].map(({ info }) => this.held.get(info.id) ?? info);
    // Files that rest need no one to be told that they are followed.
    byId("live").hidden = !this.isOn || !(this.hasNews || this.isPaused || infos.some(({ step }) => step !== null));
    byId("live").classList.toggle("paused", this.isPaused);
    const button = byId("pause");
    const action = this.isPaused ? "Go on following" : "Pause following";
    button.setAttribute("aria-label", action);
    button.title = `${action} (Space)`;
    setIcon(button, this.isPaused ? "play" : "pause");
    byId("live-text").textContent = progress(infos, this.isPaused);
  }
}

function progress(infos, isPaused) {
  const running = infos.filter(({ step }) => step !== null);
  const [first] = running;
  const steps = first && `step ${first.step.toLocaleString("en")}${first.steps === null ? "" : ` of ${first.steps.toLocaleString("en")}`}`;
  const what = running.length > 1 ? `${running.length} runs` : steps;
  return [isPaused ? "Paused" : "Live", what].filter(Boolean).join(" · ");
}
