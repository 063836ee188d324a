// The camera that all cells share, and how it is moved by mouse, touch and keys.

import { PerspectiveCamera, Spherical, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const FOV = 40;
/** From where one looks first: straight at the front, from a little above. */
const FRONT = new Vector3(0, Math.sin(0.2), Math.cos(0.2));
const UP = new Vector3(0, 1, 0);
/** Radians that a key turns, and the part of the image's height that it shifts. */
const TURN = 0.1;
const SHIFT = 0.05;
const POLE = 0.01;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** @typedef {{position: number[], target: number[], up: number[], fovY: number}} Pose  fovY: degrees */

export class View {
  /**
   * @param {HTMLElement} element what is dragged
   * @param {() => void} onChange called whenever the image must be drawn anew
   */
  constructor(element, onChange) {
    this.element = element;
    this.onChange = onChange;
    this.camera = new PerspectiveCamera(FOV, 1, 0.01, 1000);
    /** Grows with every move, so that cells know whether they are sorted for where the camera is. */
    this.version = 0;
    this.radius = 1;
    this.center = new Vector3();
    this.rows = 1;
    this.newControls(new Vector3());
  }

  newControls(target) {
    this.controls?.dispose();
    this.controls = new OrbitControls(this.camera, this.element);
    this.controls.target.copy(target);
    this.controls.dampingFactor = 0.15;
    this.controls.addEventListener("change", () => this.moved());
    this.setLimits();
    this.controls.update();
  }

  moved() {
    this.version++;
    this.onChange();
  }

  /** Moves on by a frame; dragging comes to rest smoothly where motion is welcome. */
  update() {
    this.controls.enableDamping = !calm.matches;
    this.controls.panSpeed = this.rows;
    this.controls.update();
    this.camera.updateMatrixWorld();
  }

  /** Fits a box into the image: looking as now, or at the front. */
  frame({ low, high }, { front }) {
    this.center.set(...low).add(new Vector3(...high)).multiplyScalar(0.5);
    this.radius = Math.max(new Vector3(...high).distanceTo(new Vector3(...low)) / 2, 1e-6);
    const direction = front ? FRONT.clone() : this.camera.position.clone().sub(this.controls.target).normalize();
    if (front) this.camera.fov = FOV;
    this.setLimits();
    this.camera.position.copy(this.center).addScaledVector(direction, this.distanceToFit());
    this.camera.updateProjectionMatrix();
    this.setUp(front ? UP : this.camera.up, this.center);
    this.moved();
  }

  distanceToFit() {
    const half = Math.tan((this.camera.fov * Math.PI) / 360) * Math.min(1, this.camera.aspect);
    return (1.05 * this.radius) / Math.sin(Math.atan(half));
  }

  setLimits() {
    this.controls.minDistance = 0.02 * this.radius;
    this.controls.maxDistance = 100 * this.radius;
    this.camera.near = Math.min(0.01, 0.005 * this.radius);
    this.camera.far = 1e4 * Math.max(1, this.radius);
    this.camera.updateProjectionMatrix();
  }

  setUp(up, target) {
    const isSame = this.camera.up.equals(up);
    this.camera.up.copy(up);
    if (isSame) this.controls.target.copy(target);
    else this.newControls(target); // which take the axis that they turn about when they are made
    this.controls.update();
  }

  /** @param {Pose} pose in the world's axes */
  setPose({ position, target, up = UP.toArray(), fovY = this.camera.fov }) {
    this.camera.position.set(...position);
    this.camera.fov = fovY;
    this.camera.updateProjectionMatrix();
    this.controls.minDistance = 0;
    this.controls.maxDistance = Infinity;
    this.setUp(new Vector3(...up).normalize(), new Vector3(...target));
    this.moved();
  }

  /** @returns {Pose} */
  pose() {
    const { position, up, fov } = this.camera;
    return { position: position.toArray(), target: this.controls.target.toArray(), up: up.toArray(), fovY: fov };
  }

  /**
   * Takes the width of a cell by its height, and how many are one above the other.
   * @param {boolean} keepFit goes farther away or nearer, so that what was in the image still is
   */
  setAspect(aspect, rows, keepFit) {
    this.rows = rows;
    if (this.camera.aspect === aspect) return;
    const before = this.distanceToFit();
    this.camera.aspect = aspect;
    this.camera.updateProjectionMatrix();
    if (keepFit) this.zoom(this.distanceToFit() / before);
  }

  /** Turns about what is looked at: steps to the right and up, as keys give them. */
  turn(right, up) {
    this.turnBy(-right * TURN, -up * TURN);
  }

  /** Turns by radians about the vertical, and from it. */
  turnBy(azimuth, polar) {
    const { camera, controls } = this;
    const upright = camera.up.clone();
    const level = camera.quaternion.clone().setFromUnitVectors(upright, UP);
    const offset = camera.position.clone().sub(controls.target).applyQuaternion(level);
    const spherical = new Spherical().setFromVector3(offset);
    spherical.theta += azimuth;
    spherical.phi = Math.min(Math.PI - POLE, Math.max(POLE, spherical.phi + polar));
    offset.setFromSpherical(spherical).applyQuaternion(level.invert());
    camera.position.copy(controls.target).add(offset);
    this.controls.update();
    this.moved();
  }

  /** Shifts the image by steps. */
  shift(right, up) {
    const distance = this.camera.position.distanceTo(this.controls.target);
    const step = 2 * SHIFT * distance * Math.tan((this.camera.fov * Math.PI) / 360);
    const offset = new Vector3(right * step, up * step, 0).applyQuaternion(this.camera.quaternion);
    this.camera.position.add(offset);
    this.controls.target.add(offset);
    this.controls.update();
    this.moved();
  }

  /** Goes nearer by a factor below one, away by one above. */
  zoom(factor) {
    const { camera, controls } = this;
    const offset = camera.position.clone().sub(controls.target);
    const distance = Math.min(controls.maxDistance, Math.max(controls.minDistance, offset.length() * factor));
    camera.position.copy(controls.target).add(offset.setLength(distance));
    this.controls.update();
    this.moved();
  }
}
