// The least page that shows a splat with Spark, to compare ours with; benchmarks/viewer_ready.py
// bundles it. window.settled resolves once the sorted splats of /splats.ply are drawn.
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import { PerspectiveCamera, Scene, WebGLRenderer } from "three";

const renderer = new WebGLRenderer({ canvas: document.querySelector("canvas"), antialias: false });
renderer.setSize(innerWidth, innerHeight);
const scene = new Scene();
const spark = new SparkRenderer({ renderer, sortRadial: false, preBlurAmount: 0.3, blurAmount: 0 });
const mesh = new SplatMesh({ url: "/splats.ply" });
mesh.quaternion.set(1, 0, 0, 0);
scene.add(spark, mesh);
const camera = new PerspectiveCamera(40, innerWidth / innerHeight, 0.01, 1000);
camera.position.set(0, 0.55, 2.7);
camera.lookAt(0, 0, 0);

window.settled = new Promise((resolve) => {
  renderer.setAnimationLoop(() => {
    renderer.render(scene, camera);
    const isSorted = mesh.isInitialized && spark.activeSplats > 0 && !spark.sorting;
    if (!isSorted) return;
    renderer.setAnimationLoop(null);
    renderer.getContext().finish();
    renderer.getContext().readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4)); // waits for all
    resolve(performance.now());
  });
});
