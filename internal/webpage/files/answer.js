import { h, fill, count } from "./dom.js";
import * as tips from "./tip.js";

// An answer on the page: its text in parts, one a stride, coloured by the passages that
// the model saw while it wrote them, and a list of those passages.

const hues = 6; // in style.css

/** What a part must lose without a passage to be coloured by it, in nats. */
const leastNats = 0.5;

export class Answer {
  strides = []; // as flashback.stride tells them, with "influence" once that is known
  passages = []; // seen, by number: {passage, text, strides, nats}
  trace = null;
  counts = null;
  #characters = [];
  #parts = [];
  #tail = document.createTextNode("");
  #byInfluence = false;
  #show;

  /** show is called with a stride's number that is pointed at or chosen. */
  constructor(show) {
    this.#show = show;
    this.text = h("p", { class: "text" }, this.#tail);
    this.sources = h("div", { class: "sources", hidden: true });
    this.element = h("div", { class: "answer" }, this.text, this.sources);
    this.text.addEventListener("keydown", (e) => this.#walk(e));
  }

  /** add takes more of the text. */
  add(text) {
    this.#characters.push(...text); // whole characters, as the server counts them
    const last = this.strides.at(-1);
    if (last && this.#shown < last.end_index) this.#write(this.strides.length - 1);
    this.#tail.data = this.#slice(last?.end_index ?? 0);
  }

  #shown = 0; // characters that stand in parts

  #slice(from, to) {
    return this.#characters.slice(from, to).join("");
  }

  #write(i) {
    const s = this.strides[i];
    this.#parts[i].textContent = this.#slice(s.start_index, s.end_index);
    this.#shown = Math.min(s.end_index, this.#characters.length);
  }

  /** whole returns the text. */
  whole() {
    return this.#slice(0);
  }

  /** part returns what a stride wrote. */
  part(i) {
    return this.#parts[i]?.textContent ?? "";
  }

  /** end notes the end of a stride: what the text so far was written in sight of. */
  end(stride) {
    const before = this.strides.at(-1)?.passages.map((p) => p.url) ?? [];
    const i = this.strides.length;
    this.strides.push(stride);
    for (const p of stride.passages) {
      p.kept = before.includes(p.url);
      let n = this.passages.findIndex((q) => q.passage.url === p.url && q.passage.id === p.id);
      if (n < 0) n = this.passages.push({ passage: p, text: null, strides: [], nats: null }) - 1;
      p.number = n + 1;
      this.passages[n].strides.push(i);
    }
    const part = h("span", {
      class: "part", role: "button", tabIndex: i ? -1 : 0, "aria-pressed": "false",
      onpointerenter: () => this.#show(i, false),
      onfocus: () => this.#show(i, false),
      onclick: () => this.#show(i, true),
    });
    this.#parts.push(part);
    this.text.insertBefore(part, this.#tail);
    this.#write(i);
    this.#tail.data = this.#slice(stride.end_index);
    if (!part.textContent) part.hidden = true; // it ended the text
    this.#paint();
    this.#list();
  }

  /** follow the keys from part to part. */
  #walk(e) {
    const shown = this.#parts.filter((p) => !p.hidden);
    const at = shown.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[e.key];
    if (to !== undefined && shown[to]) {
      for (const p of shown) p.tabIndex = -1;
      shown[to].tabIndex = 0;
      shown[to].focus();
    } else if (e.key === "Enter" || e.key === " ") {
      document.activeElement.click();
    } else {
      return;
    }
    e.preventDefault();
  }

  /** mark shows which part is looked at, and whether it stays so; none: -1. */
  mark(i, chosen) {
    this.#parts.forEach((p, n) => {
      p.classList.toggle("looked", n === i);
      p.setAttribute("aria-pressed", String(n === i && chosen));
    });
  }

  /** leading returns the number of the passage that a stride is coloured by; 0: none. */
  leading(i) {
    const { passages, influence } = this.strides[i];
    if (!this.#byInfluence) return passages[0]?.number ?? 0;
    if (!influence) return 0;
    const most = influence.indexOf(Math.max(...influence));
    return influence[most] >= leastNats ? passages[most].number : 0;
  }

  #paint() {
    let odd = false;
    this.#parts.forEach((part, i) => {
      const n = this.leading(i);
      odd = !odd;
      part.className = `part ${n ? `hue-${(n - 1) % hues}` : "hue-none"} ${odd ? "odd" : ""} ${part.classList.contains("looked") ? "looked" : ""}`;
      // The number stands where the next part has another passage: colour is not all that tells.
      const next = this.#parts.findIndex((p, j) => j > i && !p.hidden);
      if (n && !part.hidden && (next < 0 || this.leading(next) !== n)) part.setAttribute("data-number", n);
      else part.removeAttribute("data-number");
      const seen = this.strides[i].passages.map((p) => p.number);
      const told = this.#byInfluence
        ? (n ? `mostly from passage ${n}` : "no passage mattered")
        : (seen.length ? `in sight of passage ${seen.join(" and ")}` : "no passage in sight");
      part.setAttribute("aria-label", `${part.textContent.trim()} (${told})`);
    });
  }

  /** told notes what the end of the answer says: tokens, times, and the passages' texts. */
  told({ counts, trace }) {
    this.counts = counts ?? null;
    this.trace = trace?.[0] ?? null;
    this.trace?.strides.forEach((s, i) => (s.passages ?? []).forEach((p, j) => {
      const number = this.strides[i]?.passages[j]?.number;
      if (number) this.passages[number - 1].text = p.text;
    }));
    this.#list();
  }

  /** weigh takes what each passage gave, by stride, and colours by it. */
  weigh(provenance) {
    for (const { stride, nats } of provenance.by_stride ?? []) {
      const s = this.strides.find((s) => s.index === stride);
      if (s) s.influence = nats;
    }
    for (const p of this.passages) p.nats = 0;
    for (const s of this.strides) s.passages.forEach((p, j) => { this.passages[p.number - 1].nats += s.influence?.[j] ?? 0; });
    this.colourBy(true);
  }

  /** colourBy chooses what the parts are coloured by. */
  colourBy(influence) {
    this.#byInfluence = influence;
    this.#paint();
    this.#list();
  }

  #list() {
    if (this.passages.length === 0) return;
    this.sources.hidden = false;
    const most = Math.max(1, ...this.passages.map((p) => Math.abs(p.nats ?? 0)));
    const weighed = this.passages[0].nats !== null;
    fill(this.sources,
      h("p", { class: "heading" }, "Coloured by ", this.#byInfluence ? [tips.influence(), ": what mattered"] : [tips.provenance(), ": what was in sight"]),
      h("ol", {}, this.passages.map((p, n) => h("li", {
        class: `hue-${n % hues}`, onpointerenter: () => this.#light(n + 1), onpointerleave: () => this.#light(0),
      },
      chip(n + 1),
      h("span", { class: "title" }, p.passage.title || p.passage.id),
      h("span", { class: "where" }, `in sight of ${strides(p.strides, this.strides.length)}`),
      weighed && nats(p.nats, most)))));
  }

  /** #light shows the parts that a passage was in sight of. */
  #light(number) {
    this.#parts.forEach((part, i) => part.classList.toggle("dim", number > 0 && !this.strides[i].passages.some((p) => p.number === number)));
  }
}

/** chip is the number of a passage, in its colour. */
export const chip = (n) => h("span", { class: `chip hue-${(n - 1) % hues}` }, h("span", { class: "unseen" }, "Passage "), String(n));

/** nats draws a number of nats as a bar beside it. */
export function nats(n, most) {
  const fillIn = h("span", { class: n < 0 ? "fill below" : "fill" });
  fillIn.style.width = `${(100 * Math.abs(n)) / most}%`;
  return h("span", { class: "nats" }, h("span", { class: "track", "aria-hidden": "true" }, fillIn),
    h("span", { class: "number" }, `${n < 0 ? "−" : ""}${Math.abs(n).toFixed(1)} nats`));
}

function strides(seen, all) {
  if (seen.length === all) return all === 1 ? "the whole answer" : `all ${all} strides`;
  const runs = [];
  for (const s of seen) {
    if (runs.length && runs.at(-1)[1] === s - 1) runs.at(-1)[1] = s;
    else runs.push([s, s]);
  }
  return `stride ${runs.map(([a, b]) => (a === b ? a + 1 : `${a + 1}–${b + 1}`)).join(", ")}`;
}

/** summary says what an answer took, from the end of its trace. */
export function summary(answer) {
  const f = answer.trace?.finish;
  if (!f) return "";
  const c = f.counts;
  const ms = f.tokens > 1 ? f.decode_ns / 1e6 / (f.tokens - 1) : null;
  return [
    `${count(f.tokens, "token")} in ${count(answer.strides.length || 1, "stride")}`,
    ms !== null && `${ms.toFixed(1)} ms a token`,
    `first after ${(f.first_token_ns / 1e6).toFixed(0)} ms`,
    c.evidence > 0 && `${c.evidence_reused.toLocaleString("en")} of ${count(c.evidence, "passage token")} reused`,
  ].filter(Boolean).join(" · ");
}
