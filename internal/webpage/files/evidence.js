import { get, passageAt } from "./api.js";
import { chip, nats } from "./answer.js";
import { h, fill, count } from "./dom.js";
import * as tips from "./tip.js";

// The panel beside the conversation: the passages of the stride that is pointed at.

export class Evidence {
  #chosen = null; // {answer, stride}: stays when the pointer goes
  #shown = null;
  #weigh;

  /** weigh is called with an answer whose influence is asked for. */
  constructor(weigh) {
    this.#weigh = weigh;
    this.body = h("div", { class: "body" });
    this.element = h("aside", { class: "evidence", "aria-label": "Passages in sight" }, this.body);
    this.clear();
  }

  /** clear shows what the panel is for. */
  clear() {
    this.#shown?.answer.mark(-1, false);
    this.#chosen = this.#shown = null;
    this.element.classList.remove("open");
    fill(this.body,
      h("h2", {}, "Passages in sight"),
      h("p", { class: "quiet" }, "Point at a part of an answer, or go to it with Tab and the arrow keys. Here stand the passages that the model saw while it wrote that part, and what they did for it. A click keeps them here."));
  }

  /** show shows a stride of an answer; chosen keeps it. */
  show(answer, stride, chosen) {
    const again = this.#chosen?.answer === answer && this.#chosen.stride === stride;
    if (this.#chosen && !chosen && document.activeElement?.closest(".part") === null) return;
    if (chosen && again) return this.clear();
    if (this.#shown && this.#shown.answer !== answer) this.#shown.answer.mark(-1, false);
    if (chosen) this.#chosen = { answer, stride };
    this.#shown = { answer, stride };
    answer.mark(stride, chosen || again);
    this.element.classList.add("open");
    this.render();
  }

  /** render draws what is shown again. */
  render() {
    if (!this.#shown) return;
    const { answer, stride: i } = this.#shown;
    const s = answer.strides[i];
    const weighed = s.influence !== undefined;
    const most = Math.max(1, ...answer.strides.flatMap((s) => s.influence ?? []).map(Math.abs));
    const shown = [...new Set(s.passages.map((p) => p.number))];
    fill(this.body,
      h("div", { class: "head" },
        h("h2", {}, tips.stride(), ` ${i + 1} of ${answer.strides.length}`),
        h("button", { class: "plain close", type: "button", onclick: () => this.clear() }, "Close")),
      h("blockquote", {}, answer.part(i).trim() || "(nothing)"),
      shown.length === 0 && h("p", { class: "quiet" }, "No passage was in sight: the model wrote this by itself."),
      shown.length > 0 && h("p", { class: "meaning" }, tips.provenance(), `: ${count(shown.length, "passage")} in sight, ${placed[s.placement] ?? s.placement}. `,
        weighed ? [tips.influence(), ": the bars."] : [tips.influence(), ": not measured yet."]),
      shown.length > 0 && !weighed && answer.trace && h("button", { type: "button", class: "weigh", onclick: () => this.#weigh(answer) }, "Measure influence"),
      s.passages.map((p, j) => this.#passage(answer, s, p, weighed ? s.influence[j] : null, most)),
      s.query && h("details", { class: "query" }, h("summary", {}, "What was looked up"), h("p", {}, s.query)));
  }

  #passage(answer, s, p, gave, most) {
    const seen = answer.passages[p.number - 1];
    const text = h("p", { class: "passage-text" });
    const card = h("article", { class: `card hue-${(p.number - 1) % 6}` },
      h("h3", {}, chip(p.number), " ", p.title || p.id),
      h("p", { class: "where" },
        p.kept ? tips.kept() : h("span", { class: "fresh" }, "New"),
        ` · ${[p.source, p.page && `page ${p.page}`, p.line && `line ${p.line}`].filter(Boolean).join(", ") || p.id}`,
        ` · ${count(p.evidence_tokens, "token")} · score ${p.score.toFixed(1)}`),
      gave !== null && nats(gave, most),
      text);
    if (seen.text !== null) marked(text, seen.text, answer.whole());
    else this.#fetch(seen, p, text, answer);
    return card;
  }

  /** #fetch reads a passage's text while the answer, which brings it, is not finished. */
  async #fetch(seen, p, text, answer) {
    const path = passageAt(p.url);
    if (!path) return;
    text.textContent = "…";
    try {
      seen.text = (await get(path)).text;
      marked(text, seen.text, answer.whole());
    } catch (e) {
      text.textContent = e.message;
    }
  }
}

const placed = {
  virtual: "in front of the text by their positions",
  append: "behind the text",
  prepend: "in front of the text",
  "in-turn": "before the question",
  none: "nowhere",
};

const words = /[\p{L}\p{N}]+/gu;
const run = 3; // words in a row that an answer shares with a passage to have them marked

/** marked fills in a text with what another one says in the same words marked. */
function marked(into, text, other) {
  const of = [...other.toLowerCase().matchAll(words)].map((m) => m[0]);
  const runs = new Set(of.slice(run - 1).map((_, i) => of.slice(i, i + run).join(" ")));
  const here = [...text.matchAll(words)];
  const same = here.map(() => false);
  here.forEach((_, i) => {
    if (i + run <= here.length && runs.has(here.slice(i, i + run).map((m) => m[0].toLowerCase()).join(" "))) same.fill(true, i, i + run);
  });
  const pieces = [];
  let at = 0;
  for (let i = 0; i < here.length; i++) {
    if (!same[i]) continue;
    let last = i;
    while (same[last + 1]) last++;
    const end = here[last].index + here[last][0].length;
    pieces.push(text.slice(at, here[i].index), h("mark", {}, text.slice(here[i].index, end)));
    at = end;
    i = last;
  }
  fill(into, ...pieces, text.slice(at));
}
