// Draws a splat with PlayCanvas' engine, as SuperSplat does. window.draw(file, view) gives a PNG.

import * as pc from "/node_modules/playcanvas/build/playcanvas.min.mjs";

const canvas = document.querySelector("canvas");
const app = new pc.Application(canvas, {
  graphicsDeviceOptions: { antialias: false, preserveDrawingBuffer: true },
});
app.setCanvasResolution(pc.RESOLUTION_FIXED, innerWidth, innerHeight);
app.start();

const camera = new pc.Entity("camera");
camera.addComponent("camera", { nearClip: 0.01, farClip: 100, toneMapping: pc.TONEMAP_NONE });
app.root.addChild(camera);

let ready = false;
app.systems.gsplat.on("frame:ready", (camera, layer, sorted, loading) => {
  ready = sorted && loading === 0;
});

function load(file) {
  const asset = new pc.Asset(file, "gsplat", { url: file });
  app.assets.add(asset);
  return new Promise((done, fail) => {
    asset.once("load", () => done(asset));
    asset.once("error", (message) => fail(new Error(message)));
    app.assets.load(asset);
  });
}

async function settled() {
  for (let frames = 0; frames < 3 || !ready; frames++) { // sorting takes a worker and some frames
    ready = false;
    await new Promise((done) => app.once("frameend", done));
  }
  return canvas.toDataURL();
}

window.draw = async (file, { position, fov, background }) => {
  const splat = new pc.Entity("splat");
  splat.addComponent("gsplat", { asset: await load(file) });
  splat.setLocalEulerAngles(0, 0, 180); // y of the file points down
  app.root.addChild(splat);
  camera.camera.fov = fov;
  camera.camera.clearColor = new pc.Color(...background);
  camera.setPosition(...position);
  camera.lookAt(0, 0, 0);
  const picture = await settled();
  splat.destroy();
  return picture;
};
