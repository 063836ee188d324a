// The image before it is on the canvas: in half floats, because splats brighter than white are
// blended over by those in front, and eight bits would have cut them off before.

import { HalfFloatType, NearestFilter, NoBlending, RawShaderMaterial, GLSL3, WebGLRenderTarget, UnsignedByteType } from "three";
import { FullScreenQuad } from "three/addons/postprocessing/Pass.js";

const VERTEX = `
in vec3 position;
void main() {
  gl_Position = vec4(position.xy, 0.0, 1.0);
}`;
const FRAGMENT = `
precision highp float;
uniform highp sampler2D image;
out vec4 color;
void main() {
  color = texelFetch(image, ivec2(gl_FragCoord.xy), 0);
}`;

export class Sheet {
  /** @param {import("three").WebGLRenderer} renderer */
  constructor(renderer) {
    this.renderer = renderer;
    const { extensions } = renderer;
    const hasHalves = extensions.has("EXT_color_buffer_float") || extensions.has("EXT_color_buffer_half_float");
    this.target = new WebGLRenderTarget(1, 1, {
      type: hasHalves ? HalfFloatType : UnsignedByteType,
      depthBuffer: false,
      magFilter: NearestFilter,
      minFilter: NearestFilter,
    });
    this.target.scissorTest = true;
    this.quad = new FullScreenQuad(new RawShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: { image: { value: this.target.texture } },
      blending: NoBlending,
      depthTest: false,
      depthWrite: false,
    }));
  }

  /** Takes this size in device pixels; the image is lost. */
  setSize(width, height) {
    this.target.setSize(Math.max(1, width), Math.max(1, height));
  }

  /** Fills a rectangle in device pixels with a colour, and lets only what lies in it be drawn then. */
  fill(rectangle, { color, alpha }) {
    const { renderer, target } = this;
    target.scissor.copy(rectangle);
    renderer.setRenderTarget(target);
    renderer.setClearColor(color, alpha);
    renderer.clear(true, false, false);
  }

  /** Puts the image on the canvas. */
  show() {
    this.renderer.setRenderTarget(null);
    this.quad.render(this.renderer);
  }
}
