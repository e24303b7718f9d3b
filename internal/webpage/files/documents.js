import { get, send, storePath, upload } from "./api.js";
import { bytes, count, fill, h } from "./dom.js";
import { say } from "./log.js";
import * as settings from "./settings.js";

// The view of indexes and their documents.

const poll = 250; // ms between looks at a document on its way
const page = 100; // documents that are listed at once

export class Documents {
  #stores = [];
  #store = null; // the one that is shown
  #uploads = h("ul", { class: "uploads" });
  #told = h("div", { class: "told", role: "status" });

  constructor() {
    this.list = h("ul", { class: "stores" });
    this.detail = h("div", { class: "store" });
    const name = h("input", { type: "text", name: "name", maxLength: 256, "aria-label": "Name of a new index", placeholder: "A name" });
    this.element = h("div", { class: "documents" },
      h("section", { class: "indexes", "aria-label": "Indexes" },
        h("h1", {}, "Indexes"), this.list,
        h("form", { class: "new", onsubmit: (e) => { e.preventDefault(); this.#create(name); } }, name, h("button", { type: "submit" }, "New index"))),
      this.detail);
    addEventListener("visibilitychange", () => { // another tab may have changed them
      if (!document.hidden && this.element.isConnected) this.load();
    });
  }

  shown() {
    this.load();
  }

  /** load reads what there is. */
  async load() {
    try {
      this.#stores = await settings.stores();
    } catch (e) {
      fill(this.detail, h("p", { class: "error", role: "alert" }, e.status === 404 ? "This server has no indexes of its own." : e.message));
      return;
    }
    this.#store = this.#stores.find((s) => s.id === this.#store?.id) ?? this.#stores[0] ?? null;
    this.#drawList();
    if (this.#store) await this.#open(this.#store.id);
    else {
      this.drawn = null;
      fill(this.detail, h("p", { class: "quiet" }, "There is no index yet. Make one, then add documents to it."), this.#told);
    }
  }

  #drawList() {
    const focused = [...this.list.querySelectorAll("button")].indexOf(document.activeElement);
    fill(this.list, this.#stores.map((s) => h("li", {}, h("button", {
      type: "button", class: "pick", "aria-current": s.id === this.#store?.id ? "true" : null, onclick: () => this.#open(s.id),
    }, h("span", { class: "label" }, s.name || s.id), h("span", { class: "where" }, `${count(s.documents, "document")}, ${count(s.passages, "passage")}`)))));
    this.list.querySelectorAll("button")[focused]?.focus();
  }

  async #create(field) {
    await this.#try(async () => {
      const made = await send("POST", "v1/vector_stores", { name: field.value.trim() });
      field.value = "";
      this.#store = made;
      await settings.load();
      settings.use(made.id);
      await this.load();
      this.#tell(`The index ${made.name || made.id} is made. Add documents to it.`);
    });
  }

  /** #try does something and tells what goes wrong. */
  async #try(what) {
    try {
      await what();
    } catch (e) {
      this.#tell(e.message, true);
    }
  }

  #tell(text, wrong = false) {
    fill(this.#told, h("p", { class: wrong ? "error" : "" }, text));
  }

  /** #open shows an index, or what has become of the one that is shown. */
  async #open(id) {
    await this.#try(async () => {
      const s = await get(storePath(id));
      this.#store = s;
      this.#stores = this.#stores.map((old) => (old.id === s.id ? s : old));
      this.#drawList();
      if (this.drawn !== s.id) {
        fill(this.#told);
        this.#draw(s);
        this.drawn = s.id;
        for (const row of this.#uploads.children) row.hidden = row.getAttribute("data-store") !== s.id;
      }
      this.about.textContent = `${count(s.documents, "document")} · ${count(s.passages, "passage")} · ${bytes(s.usage_bytes)} · changed ${new Date(s.last_active_at * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}`;
      try {
        await this.#documents();
      } catch (e) {
        if (this.#store?.id === id) throw e; // else it was deleted, or left, meanwhile
      }
    });
  }

  #draw(s) {
    const files = h("input", { type: "file", multiple: true, class: "unseen", id: "files", onchange: () => { this.#add([...files.files]); files.value = ""; } });
    const drop = h("label", { class: "drop", for: "files" }, h("span", {}, h("strong", {}, "Choose documents"), " or drop them here"),
      h("span", { class: "quiet" }, "Markdown, PDF, Word, Excel, web pages, mail, code, text and more"));
    drop.addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (e) => { e.preventDefault(); drop.classList.remove("over"); this.#add([...e.dataTransfer.files]); });
    const made = s.id.startsWith("vs_");
    const query = h("input", { type: "search", name: "query", placeholder: "Words to look up", "aria-label": "Words to look up" });
    const found = h("ol", { class: "found" });
    this.about = h("p", { class: "where" });
    this.rows = h("tbody");
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.#documents(true) }, "More documents");
    fill(this.detail,
      h("header", {},
        h("h2", {}, s.name || s.id),
        this.about,
        h("div", { class: "actions" },
          h("button", { type: "button", onclick: () => { settings.use(s.id); location.hash = "#ask"; } }, "Ask it"),
          h("button", { type: "button", onclick: (e) => this.#verify(s, e.target) }, "Verify"),
          h("button", { type: "button", onclick: (e) => this.#compact(s, e.target) }, "Compact"),
          made && h("button", { type: "button", class: "grave", onclick: () => this.#remove(s) }, "Delete index"))),
      this.#told,
      files, drop, this.#uploads,
      h("form", { class: "lookup", onsubmit: (e) => { e.preventDefault(); this.#search(s, query.value, found); } }, query, h("button", { type: "submit" }, "Look up")),
      found,
      this.table = h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Documents of the index" },
        h("table", {},
          h("caption", {}, "Documents"),
          h("thead", {}, h("tr", {}, ["Document", "Passages", "Size"].map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Action")))),
          this.rows)),
      this.more);
  }

  /** #documents lists what the index holds, and what could not be read. */
  async #documents(further = false) {
    const s = this.#store;
    const after = further ? this.last : "";
    const told = await get(storePath(s.id, "documents") + `?limit=${page}${after && `&after=${encodeURIComponent(after)}`}`);
    const failed = further ? [] : (await get(storePath(s.id, "files") + "?limit=100&filter=failed")).data;
    if (this.#store?.id !== s.id) return; // another one was opened meanwhile
    this.last = told.last_id;
    this.more.hidden = !told.has_more;
    const rows = [
      ...failed.map((f) => this.#row(f.filename, h("span", { class: "error" }, f.last_error?.message ?? "could not be read"), "", bytes(f.usage_bytes), f.id)),
      ...told.data.map((d) => this.#row(name(d), d.title && d.title !== name(d) ? d.title : "", d.passages.toLocaleString("en"), bytes(d.bytes), d.file_id)),
    ];
    if (further) this.rows.append(...rows);
    else fill(this.rows, rows.length ? rows : h("tr", {}, h("td", { colSpan: 4, class: "quiet" }, "No documents yet.")));
  }

  #row(name, note, passages, size, file) {
    return h("tr", {},
      h("th", { scope: "row" }, name, note && h("span", { class: "note" }, note)),
      h("td", {}, passages), h("td", {}, size),
      h("td", {}, file && h("button", { type: "button", class: "plain", "aria-label": `Remove ${name}`, onclick: () => this.#take(file, name) }, "Remove")));
  }

  async #take(file, name) {
    if (!(await confirmed(`Remove ${name}?`, "It goes out of every index that has it, and the uploaded file is deleted."))) return;
    await this.#try(async () => {
      await send("DELETE", `v1/files/${encodeURIComponent(file)}`);
      await this.#changed(`${name} is removed.`);
      this.table.focus({ preventScroll: true }); // its button is gone
    });
  }

  /** #changed reads again what a change has changed. */
  async #changed(told) {
    await this.#open(this.#store.id);
    this.#tell(told);
  }

  /** #add uploads files and has each become a document, and shows how far it is. */
  async #add(files) {
    const s = this.#store;
    await Promise.all(files.map(async (file) => {
      const bar = h("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
      const state = h("span", { class: "state" }, "waits");
      const row = h("li", { "data-store": s.id }, h("span", { class: "label" }, file.name), bar, state);
      this.#uploads.append(row);
      try {
        state.textContent = "is uploaded";
        const sent = await upload(file, (part) => { bar.value = part / 2; });
        bar.value = 0.5;
        state.textContent = "is read";
        let d = await send("POST", storePath(s.id, "files"), { file_id: sent.id });
        while (d.status === "in_progress") {
          await new Promise((done) => setTimeout(done, poll));
          d = await get(storePath(s.id, "files", sent.id));
          bar.value = 0.5 + d.progress / 2;
        }
        if (d.status !== "completed") throw new Error(d.last_error?.message ?? d.status);
        bar.value = 1;
        state.textContent = "is in the index";
        say(`${file.name} is in the index.`);
        setTimeout(() => row.remove(), 4000);
      } catch (e) {
        bar.remove();
        state.className = "state error";
        state.textContent = e.message;
        row.append(h("button", { type: "button", class: "plain", "aria-label": `Dismiss ${file.name}`, onclick: () => row.remove() }, "Dismiss"));
        say(`${file.name}: ${e.message}`);
      }
    }));
    if (this.#store?.id === s.id) await this.#open(s.id);
    settings.load();
  }

  async #verify(s, button) {
    await busy(button, () => this.#try(async () => {
      this.#tell("The index is read whole …");
      const v = await send("POST", storePath(s.id, "verify"));
      if (v.good) this.#tell(`Good: every checksum of ${count(v.passages, "passage")} in ${count(v.segments, "segment")} agrees${v.deleted ? `; ${count(v.deleted, "passage")} taken out, which compacting frees` : ""}.`);
      else this.#tell(v.fault, true);
    }));
  }

  async #compact(s, button) {
    await busy(button, () => this.#try(async () => {
      const before = this.#store.usage_bytes;
      this.#tell("The index is written anew …");
      const after = await send("POST", storePath(s.id, "compact"));
      await this.#changed(`The index is compact: ${bytes(after.usage_bytes)}, before ${bytes(before)}.`);
    }));
  }

  async #remove(s) {
    if (!(await confirmed(`Delete the index ${s.name || s.id}?`, "Its documents cannot be asked any more. The uploaded files stay on the server."))) return;
    await this.#try(async () => {
      await send("DELETE", storePath(s.id));
      this.#store = null;
      await settings.load();
      await this.load();
      this.list.querySelector("button")?.focus();
      this.#tell(`The index ${s.name || s.id} is deleted.`);
    });
  }

  async #search(s, query, into) {
    if (!query.trim()) return;
    await this.#try(async () => {
      const told = await send("POST", storePath(s.id, "search"), { query, max_num_results: 5 });
      fill(into, told.data.length ? told.data.map((p) => h("li", {},
        h("h3", {}, p.title), h("p", { class: "where" }, `${[p.filename, p.page && `page ${p.page}`, p.line && `line ${p.line}`].filter(Boolean).join(", ")} · score ${p.score.toFixed(1)}`),
        h("p", { class: "passage-text" }, p.content[0].text))) : h("li", { class: "quiet" }, "Nothing is found."));
      say(`${count(told.data.length, "passage")} found.`);
    });
  }
}

/** name is what a document is called without the folder that uploads lie in. */
const name = (d) => (d.file_id ? d.id.slice(d.id.lastIndexOf("/") + 1) : d.id);

async function busy(button, what) {
  button.disabled = true;
  try {
    await what();
  } finally {
    button.disabled = false;
  }
}

/** confirmed asks before something is done that cannot be undone. */
function confirmed(question, what) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "confirm-title" }, question), h("p", {}, what),
        h("div", { class: "actions" }, h("button", { value: "", autofocus: true }, "Keep"), h("button", { value: "yes", class: "grave" }, "Delete"))),
    );
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
