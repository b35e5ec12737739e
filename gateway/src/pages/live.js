// Keeps an open page true, and lets one move through it by keys. A page works without it.
//
// What is marked `data-live` (and has an id) is put in anew when the server says that something changed; what somebody is
// typing in is left alone. j and k go through the links marked `data-row`.
"use strict";

const heard = document.getElementById("heard");

function tell(live) {
  heard.textContent = live ? heard.dataset.liveText : heard.dataset.lostText;
  heard.classList.toggle("lost", !live);
}

function busy(part) {
  const typed = [...part.querySelectorAll("textarea, input, select")].some((field) =>
    field.type !== "hidden" && (field === document.activeElement || field.dataset.touched));
  return typed;
}

let asking = false;
let again = false;

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || part.innerHTML === next.innerHTML || busy(part)) continue;
      const open = [...part.querySelectorAll("details[open][id]")].map((it) => it.id);
      const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.replaceChildren(...next.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
    }
    document.title = fresh.title;
  } finally {
    asking = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

const changes = new EventSource(document.body.dataset.changes);
let lost = false;
changes.addEventListener("open", () => {
  tell(true);
  if (lost) refresh();
  lost = false;
});
changes.addEventListener("error", () => {
  lost = true;
  tell(false);
});
changes.addEventListener("changed", refresh);
addEventListener("pagehide", () => changes.close());

document.addEventListener("input", (event) => { event.target.dataset.touched = "yes"; });

// A file that is handed in goes as Base64 in a field of its form.
document.addEventListener("change", async (event) => {
  const into = event.target.dataset.into;
  const file = event.target.files?.[0];
  if (!into) return;
  const bytes = file ? new Uint8Array(await file.arrayBuffer()) : [];
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  event.target.form.elements[into].value = btoa(text);
  event.target.form.dataset.ready = "yes";
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  const step = { j: 1, k: -1 }[event.key];
  const rows = [...document.querySelectorAll("a[data-row]")].filter((row) => row.offsetParent);
  if (!step || rows.length === 0) return;
  const at = rows.indexOf(document.activeElement);
  const shown = rows.findIndex((row) => row.hasAttribute("aria-current"));
  const from = at >= 0 ? at : shown >= 0 ? shown : step > 0 ? -1 : rows.length;
  rows[Math.min(Math.max(from + step, 0), rows.length - 1)].focus();
});
