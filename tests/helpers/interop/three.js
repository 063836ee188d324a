// Draws a splat with three.js' own loaders and renderer. window.draw(file, view) gives a PNG.

import * as THREE from "three";
import { GaussianSplat } from "three/addons/objects/GaussianSplat.js";
import { GaussianSplatPLYLoader } from "three/addons/loaders/GaussianSplatPLYLoader.js";
import { GLTFGaussianSplatLoaderExtension } from "three/addons/loaders/GLTFGaussianSplatLoaderExtension.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { SPLATLoader } from "three/addons/loaders/SPLATLoader.js";

const renderer = new THREE.WebGPURenderer({ forceWebGL: true });
renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // colours of splats are display colours already
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);

async function load(file) {
  if (file.endsWith(".glb")) {
    const loader = new GLTFLoader();
    loader.register((parser) => new GLTFGaussianSplatLoaderExtension(parser));
    return (await loader.loadAsync(file)).scene;
  }
  const loader = file.endsWith(".splat") ? new SPLATLoader() : new GaussianSplatPLYLoader();
  const splat = new GaussianSplat(await loader.loadAsync(file));
  splat.quaternion.set(1, 0, 0, 0); // y of the file points down
  return splat;
}

window.draw = async (file, { position, fov, background }) => {
  await renderer.init();
  const scene = new THREE.Scene();
  scene.background = new THREE.Color().setRGB(...background);
  scene.add(await load(file));
  const camera = new THREE.PerspectiveCamera(fov, innerWidth / innerHeight, 0.01, 100);
  camera.position.set(...position);
  camera.lookAt(0, 0, 0);
  let picture;
  for (let frame = 0; frame < 3; frame++) { // the first may come before everything is sorted
    await renderer.renderAsync(scene, camera);
    picture = renderer.domElement.toDataURL();
  }
  return picture;
};
