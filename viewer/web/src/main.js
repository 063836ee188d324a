// Starts the page: makes its parts, and gives them something to show.

import { followHash } from "./hash.js";
import { hooks } from "./hooks.js";
import { Live } from "./live.js";
import { embeddedGrid, fetchGrid } from "./source.js";
import { Drop } from "./ui/drop.js";
import { GridView } from "./ui/grid.js";
import { InfoPanel } from "./ui/info.js";
import { listenToKeys } from "./ui/keys.js";
import { keepSaying } from "./ui/messages.js";
import { byId, element } from "./ui/page.js";
import { Panels } from "./ui/panels.js";
import { Images } from "./ui/images.js";
import { Settings } from "./ui/settings.js";
import { Turntable } from "./ui/turntable.js";
import { Wipe } from "./ui/wipe.js";
import { Viewer } from "./viewer.js";

const NO_WEBGL = "This page draws with WebGL 2, which this browser does not offer here. "
  + "Try another browser, or allow it to use the graphics card (chrome://gpu, about:support).";

function start() {
  let viewer;
  try {
    viewer = new Viewer(byId("image"));
  } catch (error) {
    console.warn(error);
    document.body.classList.add("broken");
    keepSaying("webgl", NO_WEBGL);
    return;
  }
  const live = makeInterface(viewer);
  const ready = show(viewer, live).then(() => viewer.stage.settled());
  window.gsEsdViewer = hooks(viewer, ready);
}

function makeInterface(viewer) {
  const grid = new GridView(viewer);
  const settings = new Settings(viewer);
  const info = new InfoPanel(viewer);
  const panels = new Panels(viewer, info);
  const wipe = new Wipe(viewer, grid);
  const images = new Images(viewer);
  const turntable = new Turntable(viewer, images);
  const live = new Live(viewer);
  byId("reset").addEventListener("click", () => viewer.frameAll({ front: true }));
  byId("frame").addEventListener("click", () => viewer.frameAll());
  listenToKeys(viewer, { panels, settings, wipe, turntable, images, live });
  const goBack = () => {
    viewer.isFramed = false;
    viewer.framedVersion = undefined;
    return show(viewer, live);
  };
  new Drop(viewer, goBack, () => live.stop());
  followHash(viewer);
  byId("image").addEventListener("webglcontextlost", reportLostContext);
  return live;
}

/** Shows what the page holds, or else what the server has. */
async function show(viewer, live) {
  const embedded = embeddedGrid();
  if (embedded) {
    viewer.setGrid(embedded);
    return;
  }
  try {
    viewer.setGrid(await fetchGrid());
  } catch (error) {
    keepSaying("scene", `The viewer does not tell what there is to show (${error.message}). Start it with python -m viewer, or drop a file here.`);
    return;
  }
  if (viewer.grid.live) live.start();
}

function reportLostContext(event) {
  event.preventDefault();
  const reload = element("button", "", "Load the page again");
  reload.type = "button";
  reload.addEventListener("click", () => location.reload());
  keepSaying("context", "The graphics card has dropped the image. ", reload);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
