import { setKey } from "./api.js";
import { Ask } from "./ask.js";
import { Compare } from "./compare.js";
import { Documents } from "./documents.js";
import { fill, h } from "./dom.js";
import * as settings from "./settings.js";

// Views are chosen by the address's fragment, and keep what they show.

const main = document.getElementById("main");
const notice = document.getElementById("notice");
const ask = new Ask();
const views = { "#ask": ask, "#compare": new Compare(() => ask.conversation()), "#documents": new Documents() };
const titles = { "#ask": "Ask", "#compare": "Compare", "#documents": "Documents" };

function show() {
  const at = views[location.hash] ? location.hash : "#ask";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === at) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${titles[at]} · FlashBack`;
  if (main.firstElementChild !== views[at].element) fill(main, views[at].element);
  views[at].shown();
}

/** start shows the page once the server has said what it has, or asks for a key. */
async function start() {
  try {
    const known = await settings.load();
    document.getElementById("model").textContent = known.base;
    fill(notice);
    show();
  } catch (e) {
    if (e.status === 401) return askForKey(e);
    if (e.code === "loading") {
      fill(notice, h("p", {}, "The model is being loaded …"));
      return setTimeout(start, 500);
    }
    fill(notice, h("p", {}, e.message, " ", h("button", { type: "button", onclick: start }, "Try again")));
  }
}

let tried = false;

function askForKey(e) {
  const field = h("input", { type: "password", name: "key", id: "key", autocomplete: "off", required: true });
  fill(notice);
  fill(main, h("form", { class: "key", onsubmit: (event) => {
    event.preventDefault();
    tried = true;
    setKey(field.value.trim());
    start();
  } },
  h("h1", {}, "This server wants a key"),
  h("label", { for: "key" }, "One of its keys; it is kept until this tab is closed"),
  h("div", { class: "field" }, field, h("button", { type: "submit", class: "primary" }, "Go on")),
  tried && h("p", { class: "error", role: "alert" }, `The key was not taken. ${e.message}`)));
  field.focus();
}

addEventListener("hashchange", () => notice.childElementCount === 0 && !main.querySelector("form.key") && show());
start();
