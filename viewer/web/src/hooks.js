// What tests and `--shot` may do with the page, as window.gsEsdViewer.

/**
 * @param {import("./viewer.js").Viewer} viewer
 * @param {Promise<void>} ready resolves when the first image of all cells is sorted and drawn
 */
export function hooks(viewer, ready) {
  const { stage, view } = viewer;
  return {
    ready,
    /** Resolves when everything that was asked for is loaded, sorted and drawn. */
    settled: () => stage.settled(),
    /** Takes {position, target, up, fovY} in the world's axes (y up) and degrees. */
    setCamera(pose) {
      viewer.isFramed = true;
      view.setPose(pose);
    },
    camera: () => view.pose(),
    /** Takes some of {background, shDegree, splatScale, mode, up, ui}; throws at what makes no sense. */
    setOptions: (changes) => viewer.setOptions(changes),
    /** The canvas as the data URL of a PNG. */
    async image() {
      await stage.settled();
      return stage.canvas.toDataURL("image/png");
    },
    /** How often something was drawn, and what the graphics card holds. */
    counts() {
      const { memory, programs } = stage.renderer.info;
      return { draws: stage.draws, drawMs: stage.drawMs, ...memory, programs: programs.length };
    },
  };
}
