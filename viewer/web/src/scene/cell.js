// One place of the grid: its own scene, its own order of splats, one splat cloud at a time.

import { SparkRenderer, SplatAccumulator, SplatMesh } from "@sparkjsdev/spark";
import { Scene, Vector4 } from "three";
import { SETTINGS } from "./look.js";
import { rotation } from "./frames.js";

/** Draws into a part of an image, where Spark takes it to be all its own. */
class PartSpark extends SparkRenderer {
  onBeforeRender(renderer, scene, camera) {
    super.onBeforeRender(renderer, scene, camera);
    const { z, w } = renderer.getCurrentViewport(new Vector4());
    this.uniforms.renderSize.value.set(z, w);
    // Spark takes what is drawn off the canvas to be linear light.
    this.uniforms.encodeLinear.value = false;
  }
}

export class Cell {
  /**
   * @param {import("three").WebGLRenderer} renderer shared by all cells
   * @param {import("./look.js").Look} look shared as well
   */
  constructor(renderer, look) {
    this.renderer = renderer;
    this.look = look;
    this.scene = new Scene();
    this.spark = new PartSpark({ renderer, ...SETTINGS });
    this.scene.add(this.spark);
    /** @type {SplatMesh | null} */
    this.mesh = null;
    this.loaded = null;
    /** Grows with every change of what is shown. */
    this.version = 0;
    this.sortedFor = "";
    this.isSorting = false;
    /** Whether what was sorted is not drawn yet. */
    this.isStale = true;
    this.retired = [];
  }

  /**
   * Shows a cloud in place of the one before, which stays on the screen until this one is sorted.
   * @param {import("../files/splats.js").Loaded} loaded
   * @param {string} frame which way is up in it
   */
  show(loaded, frame) {
    const mesh = new SplatMesh({
      [loaded.splats.extArrays ? "extSplats" : "packedSplats"]: loaded.splats,
      objectModifier: this.look.modifier,
      raycastable: false,
      editable: false,
    });
    mesh.maxSh = this.look.shDegree;
    mesh.quaternion.copy(rotation(frame));
    this.scene.add(mesh);
    if (this.mesh) this.retire();
    this.mesh = mesh;
    this.loaded = loaded;
    this.version++;
  }

  /** Shows nothing. */
  clear() {
    if (!this.mesh) return;
    this.retire();
    this.mesh = null;
    this.loaded = null;
    this.spark.clearSplats();
    this.version++;
  }

  retire() {
    this.scene.remove(this.mesh);
    this.retired.push(this.mesh);
  }

  /** The bounds of the cloud in the world's axes; null where there is none. */
  bounds() {
    if (!this.mesh) return null;
    const corners = [this.loaded.bounds.low, this.loaded.bounds.high].map((corner) =>
      new Vector4(...corner, 1).applyMatrix4(this.mesh.matrix.compose(this.mesh.position, this.mesh.quaternion, this.mesh.scale)).toArray());
    return {
      low: [0, 1, 2].map((k) => Math.min(corners[0][k], corners[1][k])),
      high: [0, 1, 2].map((k) => Math.max(corners[0][k], corners[1][k])),
    };
  }

  setFrame(frame) {
    this.mesh?.quaternion.copy(rotation(frame));
    this.version++;
  }

  /** Has the splats made anew with the look as it is now. */
  restyle() {
    if (!this.mesh) return;
    if (this.mesh.maxSh !== this.look.shDegree) {
      this.mesh.maxSh = this.look.shDegree;
      this.mesh.updateGenerator();
    }
    this.mesh.updateVersion();
    this.version++;
  }

  /** Whether the order of splats is the one for this view, and drawn. */
  isSettled(view) {
    return this.sortedFor === this.due(view) && !this.isSorting && !this.isStale;
  }

  due(view) {
    return `${this.version} ${view.version}`;
  }

  /**
   * Starts to sort the splats if they are not sorted for this view and are not being sorted.
   * @param {import("./view.js").View} view
   * @param {() => void} onSorted
   */
  sort(view, onSorted) {
    const due = this.due(view);
    if (this.isSorting || this.sortedFor === due) return;
    if (!this.mesh) {
      this.retired.splice(0).forEach(dispose);
      this.finish(due, onSorted);
      return;
    }
    this.isSorting = true;
    this.look.apply(this.spark, this.renderer.getPixelRatio());
    this.scene.updateMatrixWorld();
    const replaced = this.retired.length;
    this.spark.update({ scene: this.scene, camera: view.camera }).then(
      () => {
        this.retired.splice(0, replaced).forEach(dispose);
        this.finish(due, onSorted);
      },
      (error) => {
        this.isSorting = false;
        console.error(error);
      },
    );
  }

  finish(due, onSorted) {
    this.isSorting = false;
    this.sortedFor = due;
    this.isStale = true;
    onSorted();
  }

  draw(view) {
    if (this.mesh) {
      this.look.apply(this.spark, this.renderer.getPixelRatio());
      this.renderer.render(this.scene, view.camera);
    }
    this.isStale = false;
  }

  dispose() {
    this.clear();
    this.retired.splice(0).forEach(dispose);
    this.scene.remove(this.spark);
    this.spark.dispose();
    this.spark.geometry.dispose();
    this.spark.material.dispose();
  }
}

/** Frees a mesh and the shader material that Spark made for it and forgets. */
function dispose(mesh) {
  const program = SplatAccumulator.generatorProgram.get(mesh.generator);
  program?.prepareMaterial().dispose();
  mesh.dispose();
}
