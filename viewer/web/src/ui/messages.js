// Words to the user that go away again, or stay until what they say is over.

import { byId, element } from "./page.js";

const SHOWN_MS = 8000;
const lasting = new Map();

/** Says something for some seconds. */
export function say(text) {
  const message = element("p", "message", text);
  byId("messages").append(message);
  setTimeout(() => message.remove(), SHOWN_MS);
}

/** Says something until `unsay` is called with the same key. */
export function keepSaying(key, text, ...children) {
  unsay(key);
  const message = element("p", "message", text, ...children);
  lasting.set(key, message);
  byId("messages").append(message);
}

export function unsay(key) {
  lasting.get(key)?.remove();
  lasting.delete(key);
}
