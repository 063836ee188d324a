// The camera in the page's address, so that a link shows the same view:
// #camera=px,py,pz,tx,ty,tz,fov in the world's axes and degrees; and the cell that is seen alone:
// #cell=ID, or #cell=ID&camera=…

const KEY = "camera";
const DIGITS = 5;
/** Browsers count how often an address changes. */
const REST_MS = 300;

/** The pose that an address tells, null for none. */
export function poseFrom(hash) {
  const numbers = (new URLSearchParams(hash.slice(1)).get(KEY) ?? "").split(",").map(Number);
  if (numbers.length !== 7 || !numbers.every(Number.isFinite)) return null;
  const [fovY] = numbers.slice(6);
  const [position, target] = [numbers.slice(0, 3), numbers.slice(3, 6)];
  const isSensible = fovY > 0 && fovY < 180 && position.some((each, i) => each !== target[i]);
  return isSensible ? { position, target, fovY } : null;
}

function hashOf({ position, target, fovY }, solo) {
  const numbers = [...position, ...target, fovY].map((each) => Number(each.toPrecision(DIGITS)));
  const cell = solo && solo.info.id >= 0 ? `cell=${solo.info.id}&` : "";
  return `#${cell}${KEY}=${numbers.join(",")}`;
}

/** The number of the cell that an address asks for, null for none. */
export function cellFrom(hash) {
  const text = new URLSearchParams(hash.slice(1)).get("cell") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/**
 * Takes the camera from the address, at first and whenever somebody changes it, and keeps it there.
 * @param {import("./viewer.js").Viewer} viewer
 */
export function followHash(viewer) {
  const state = () => `${viewer.view.version} ${viewer.solo?.info.id}`;
  let told = state();
  let timer = 0;
  const takePose = () => {
    const pose = poseFrom(location.hash);
    if (!pose) return;
    viewer.isFramed = true;
    viewer.view.setPose(pose);
    told = state();
  };
  const takeCell = () => {
    const entry = viewer.entries.get(cellFrom(location.hash));
    if (entry) viewer.setSolo(entry);
  };
  const take = () => {
    takeCell();
    takePose();
  };
  takePose();
  window.addEventListener("hashchange", take);
  viewer.addEventListener("cells", take, { once: true });
  viewer.stage.hooks.after.push(() => {
    if (told === state() || !viewer.isFramed) return;
    told = state();
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", hashOf(viewer.view.pose(), viewer.solo)), REST_MS);
  });
}
