// Which panels are open, the title, and what the toolbar shows of the rest.

import { byId } from "./page.js";

export class Panels {
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("./info.js").InfoPanel} info
   */
  constructor(viewer, info) {
    this.viewer = viewer;
    this.info = info;
    byId("settings-button").addEventListener("click", () => this.toggle("settings"));
    byId("info-button").addEventListener("click", () => this.toggle("info"));
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    byId("all").addEventListener("click", () => this.showAll());
    for (const name of ["cells", "cell", "parts"]) viewer.addEventListener(name, () => this.show());
  }

  /** Opens a panel, or closes it; one is open at a time. */
  toggle(id) {
    for (const each of ["settings", "info"]) {
      byId(each).hidden = each !== id || !byId(each).hidden;
      byId(`${each}-button`).setAttribute("aria-expanded", String(!byId(each).hidden));
    }
    this.info.show();
  }

  /** Closes what is open, else goes back to all cells; as the Escape key does. */
  back() {
    const open = ["settings", "info"].find((id) => !byId(id).hidden);
    if (open) {
      if (byId(open).contains(document.activeElement)) byId(`${open}-button`).focus();
      this.toggle(open);
      return;
    }
    this.showAll();
  }

  showAll() {
    const { wipe, solo } = this.viewer;
    if (!wipe && !solo) return;
    this.viewer.setSolo(null);
    byId("image").focus();
  }

  show() {
    const { viewer } = this;
    const { title } = viewer.grid;
    const alone = viewer.solo ? viewer.solo.info.label || viewer.solo.info.name : "";
    byId("title").textContent = [title, alone].filter(Boolean).join(" · ");
    document.title = [byId("title").textContent, "gs-esd"].filter(Boolean).join(" – ");
    byId("all").hidden = !viewer.solo && !viewer.wipe;
    byId("image").setAttribute("aria-label", `Splats: ${byId("title").textContent}`);
  }
}
