// Small helpers for the elements of the page. Names and prompts reach it as text only.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element with a class, a text and children. */
export function element(tag, className = "", text = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  made.append(...children);
  return made;
}

/** Gives an element another icon of index.html. */
export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#icon-${name}`);
}

/** Has the browser save a file. */
export function download(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A name for a file made of a cell's name or a title. */
export function fileName(title, ending) {
  const plain = title.replace(/\.(compressed\.)?[a-z]+$/i, "").replace(/[^\p{L}\p{N}=.-]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${plain || "splats"}.${ending}`;
}

/** What tells a cell from the others, with the step that it has come to. */
export function cellLabel({ label, name, step, steps }) {
  const text = label || name;
  if (step === null) return text;
  return `${text} · step ${step.toLocaleString("en")}${steps === null ? "" : ` of ${steps.toLocaleString("en")}`}`;
}
