// Turns the camera about what it looks at; and records a turn as a video. It only ever starts because
// somebody has asked, so that it may turn for those, too, who want no motion.

import { byId, download, fileName } from "./page.js";
import { say } from "./messages.js";

const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS_PER_SECOND = 12_000_000;

export class Turntable {
  /**
   * @param {import("../viewer.js").Viewer} viewer
   * @param {import("./images.js").Images} images
   */
  constructor(viewer, images) {
    this.viewer = viewer;
    this.images = images;
    this.isOn = false;
    this.secondsATurn = 12;
    this.last = null;
    this.recorder = null;
    byId("turntable").addEventListener("click", () => this.toggle());
    byId("record").addEventListener("click", () => (this.recorder ? this.recorder.stop() : this.record()));
    byId("turn-seconds").addEventListener("input", ({ target }) => {
      this.secondsATurn = Number(target.value);
      byId("turn-output").textContent = target.value;
    });
    viewer.stage.hooks.before.push((now) => this.advance(now));
  }

  toggle() {
    this.set(!this.isOn);
    if (!this.isOn) this.recorder?.stop();
  }

  set(isOn) {
    this.isOn = isOn;
    this.last = null;
    byId("turntable").setAttribute("aria-pressed", String(isOn));
    this.viewer.stage.wake();
  }

  advance(now) {
    if (!this.isOn) return;
    const seconds = this.last === null ? 0 : (now - this.last) / 1000;
    this.last = now;
    const angle = (2 * Math.PI * seconds) / this.secondsATurn;
    this.viewer.view.turnBy(angle, 0);
    this.turned += angle;
    if (this.recorder && this.turned >= 2 * Math.PI) this.recorder.stop();
    this.viewer.stage.wake();
  }

  /** Records one turn, and has the browser save it. */
  record() {
    const kind = KINDS.find((each) => window.MediaRecorder?.isTypeSupported(each));
    if (!kind) {
      say("This browser cannot record videos.");
      return;
    }
    const sheet = this.images.newSheet();
    const follow = () => this.images.drawOn(sheet);
    this.images.drawOn(sheet);
    this.viewer.stage.hooks.after.push(follow);
    const pieces = [];
    this.recorder = new MediaRecorder(sheet.captureStream(), { mimeType: kind, videoBitsPerSecond: BITS_PER_SECOND });
    this.recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
    this.recorder.addEventListener("stop", () => {
      const { hooks } = this.viewer.stage;
      hooks.after = hooks.after.filter((hook) => hook !== follow);
      this.recorder = null;
      this.set(false);
      byId("record").textContent = "Record a turn";
      const type = kind.split(";")[0];
      download(new Blob(pieces, { type }), fileName(byId("title").textContent, type.split("/")[1]));
    });
    this.recorder.start();
    this.turned = 0;
    byId("record").textContent = "Stop recording";
    this.set(true);
  }
}
