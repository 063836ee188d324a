"use strict";
// Without this script only comparing, copying and turntables that play by themselves are missing.

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) play(target);
    else target.pause();
  }
});

function play(video) {
  video.play().catch(() => { video.controls = true; }); // the browser may forbid it
}

function turn(video) {
  if (still) return; // its controls stay
  video.controls = false;
  video.muted = true; // a cloned video ignores the attribute
  video.addEventListener("mouseenter", () => play(video));
  watcher.observe(video);
}

const picked = [];
const status = document.getElementById("picked");
const dialog = document.getElementById("comparison");

function pick(run) {
  const place = picked.indexOf(run);
  if (place >= 0) picked.splice(place, 1);
  else picked.push(run);
  showPicks();
  if (picked.length === 2) compare(...picked);
}

function showPicks() {
  for (const run of document.querySelectorAll(".run")) {
    const on = picked.includes(run);
    run.classList.toggle("picked", on);
    run.querySelector(".compare").setAttribute("aria-pressed", String(on));
  }
  status.hidden = picked.length !== 1;
  status.textContent = picked.length === 1 ? `${picked[0].dataset.name}: pick another run to compare it with` : "";
}

function compare(a, b) {
  dialog.querySelector(".pair").replaceChildren(large(a), large(b));
  dialog.querySelector("table").replaceChildren(...numbers(a, b));
  dialog.showModal();
  const [first, second] = dialog.querySelectorAll("video");
  if (second) second.addEventListener("playing", () => { second.currentTime = first.currentTime; }, { once: true });
  history.replaceState(null, "", `#compare=${a.id},${b.id}`);
}

function large(run) {
  const side = document.createElement("div");
  side.append(element("h3", run.dataset.name));
  for (const part of run.querySelectorAll("video, .first, .blank, .sheet, .error")) {
    const copy = part.cloneNode(true);
    side.append(copy);
    if (copy.matches("video")) turn(copy);
  }
  return side;
}

function numbers(a, b) {
  const sides = [a, b].map((run) => new Map(
    [...run.querySelectorAll("dt")].map((name) => [name.textContent, name.nextElementSibling.textContent])));
  sides.forEach((side, i) => side.set("Unlike most runs",
    [...[a, b][i].querySelectorAll(".differs li")].map((each) => each.textContent).join("; ")));
  const names = new Set(sides.flatMap((side) => [...side.keys()]));
  return [...names].map((name) => {
    const row = element("tr", "");
    row.append(element("th", name), ...sides.map((side) => element("td", side.get(name) || "–")));
    return row;
  });
}

function element(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

async function copy(button) {
  const path = button.closest(".run").querySelector(".path");
  try {
    await navigator.clipboard.writeText(path.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy path"; }, 1500);
  } catch { // not allowed: then Ctrl-C copies what is selected
    path.closest("details").open = true;
    getSelection().selectAllChildren(path);
    button.textContent = "Selected";
  }
}

for (const button of document.querySelectorAll("button[hidden]")) {
  button.hidden = false;
  const act = button.matches(".copy") ? () => copy(button) : () => pick(button.closest(".run"));
  button.addEventListener("click", act);
}
dialog.addEventListener("close", () => {
  for (const video of dialog.querySelectorAll("video")) watcher.unobserve(video);
  dialog.querySelector(".pair").replaceChildren();
  picked.length = 0;
  showPicks();
  history.replaceState(null, "", "#");
});
document.querySelectorAll("video").forEach(turn);

const linked = location.hash.match(/^#compare=([\w-]+),([\w-]+)$/);
const pair = linked ? linked.slice(1).map((id) => document.getElementById(id)) : [];
if (pair.length && pair.every((run) => run && run.matches(".run"))) pair.forEach(pick);
document.documentElement.dataset.ready = "yes";
