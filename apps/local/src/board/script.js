// Keeps the page up to date: the server renders its main part anew after every change, and what
// differs is put in place, so that focus and selection stay where they are. Without this script the
// switches are forms, and the page is as it was when it was loaded.
"use strict";

const link = document.getElementById("link");

/** Says whether the page is up to date. */
function tell(text, isLive) {
  link.textContent = text;
  link.toggleAttribute("data-live", isLive);
}

/** Makes `from` equal to `to`, touching only what differs. */
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  const [old, fresh] = [[...from.childNodes], [...to.childNodes]];
  fresh.forEach((node, index) => (index < old.length ? morph(old[index], node) : from.append(node)));
  old.slice(fresh.length).forEach((node) => node.remove());
}

const events = new EventSource(`/events${location.search}`);
events.addEventListener("open", () => tell("Live", true));
events.addEventListener("error", () => tell("Not connected, trying again", false));
events.addEventListener("message", ({ data }) => {
  const template = document.createElement("template");
  template.innerHTML = data.trim();
  morph(document.getElementById("board"), template.content.firstElementChild);
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  // The answer is a page for those without a script; what it would show comes over the stream.
  const answer = await fetch(form.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    redirect: "manual",
  }).catch(() => undefined);
  if (answer?.type !== "opaqueredirect") tell("That did not work, load the page again", false);
});
