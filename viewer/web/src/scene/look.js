// How splats look: at what size, with how many spherical harmonics, as splats, ellipses or points.
//
// A Gaussian is drawn as gsplat draws it: 0.3 px² are added to its covariance on the image, opacity
// is not made up for that, and what falls below 1/255 is left out.

import { dyno } from "@sparkjsdev/spark";

/** How far gsplat draws a Gaussian, in standard deviations. */
const REACH = 3.33;
/** Radius of a point in CSS pixels. */
const POINT = 1.5;
/** Where the edge of an ellipse is, in standard deviations; and what is too faint to be one. */
const EDGE = 1.5;
const FAINT = 0.1;

export const MODES = ["splats", "opaque", "points"];

/** Numbers that all splats are drawn with, which change without shaders being made anew. */
export class Look {
  constructor() {
    this.mode = "splats";
    this.splatScale = 1;
    this.shDegree = 3;
    this.size = dyno.dynoFloat(1);
    this.flat = dyno.dynoFloat(0);
    this.modifier = dyno.dynoBlock({ gsplat: dyno.Gsplat }, { gsplat: dyno.Gsplat }, ({ gsplat }) => {
      const { scales, opacity } = dyno.splitGsplat(gsplat).outputs;
      const full = dyno.step(dyno.dynoConst("float", FAINT), opacity);
      return {
        gsplat: dyno.combineGsplat({
          gsplat,
          scales: dyno.mul(scales, this.size),
          opacity: dyno.mix(opacity, full, this.flat),
        }),
      };
    });
  }

  /** Hands the numbers to a SparkRenderer; pixelRatio: device pixels a CSS pixel. */
  apply(spark, pixelRatio) {
    const isPoints = this.mode === "points";
    this.size.value = isPoints ? 1e-6 : this.splatScale;
    this.flat.value = this.mode === "splats" ? 0 : 1;
    spark.falloff = this.mode === "splats" ? 1 : 0;
    spark.maxStdDev = { splats: REACH, opaque: EDGE, points: 1 }[this.mode];
    spark.preBlurAmount = isPoints ? (POINT * this.splatScale * pixelRatio) ** 2 : 0.3;
  }
}

/** What a SparkRenderer is made with so that its image is the rasterizer's. */
export const SETTINGS = {
  premultipliedAlpha: true,
  sortRadial: false,
  blurAmount: 0,
  minAlpha: 1 / 255,
  // Its default squeezes what is larger than 512 pixels.
  maxPixelRadius: 1e5,
  // Halves would move means by up to a pixel.
  accumExtSplats: true,
  enableLod: false,
  autoUpdate: false,
};
