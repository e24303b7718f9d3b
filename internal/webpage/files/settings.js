import { get } from "./api.js";
import { h, fill } from "./dom.js";

// What questions are asked with: the model's name, base[+adapter][@index], and the
// placement and number of passages. "" leaves each to the server.

const chosen = { index: null, adapter: "", placement: "", k: "" };
const known = { base: "", adapters: [], indexes: [], context: 0 };
const bars = new Set(); // that are to be filled again

/** load asks what the server has. */
export async function load() {
  const models = (await get("v1/models")).data;
  const base = models.find((m) => m.parent === null);
  const names = models.map((m) => m.id.slice(base.id.length));
  known.base = base.id;
  known.context = base.max_model_len;
  known.adapters = [...new Set(names.flatMap((n) => /^\+([^@]+)/.exec(n)?.[1] ?? []))];
  const indexes = [...new Set(names.flatMap((n) => /@(.+)$/.exec(n)?.[1] ?? []))];
  const labels = new Map();
  try {
    for (const s of await stores()) labels.set(s.id, s.name || s.id);
  } catch (e) {
    if (e.status !== 404) throw e; // there a server keeps no indexes of clients
  }
  known.indexes = indexes.map((id) => ({ id, label: labels.get(id) ?? id }));
  if (chosen.index === null || !indexes.includes(chosen.index)) chosen.index = indexes[0] ?? "";
  draw();
  return known;
}

/** stores lists the indexes of clients, all pages of it. */
export async function stores() {
  const all = [];
  for (let after = ""; ;) {
    const page = await get(`v1/vector_stores?limit=100&order=asc${after && `&after=${encodeURIComponent(after)}`}`);
    all.push(...page.data);
    if (!page.has_more) return all;
    after = page.last_id;
  }
}

/** use chooses an index. */
export function use(index) {
  chosen.index = index;
  draw();
}

/** draw fills the controls in, in each view the same. */
function draw() {
  for (const fillBar of bars) fillBar();
}

/** asked returns what a request says of all this; adapter and placement may be others. */
export function asked({ adapter = chosen.adapter, placement = chosen.placement } = {}) {
  const flashback = {};
  if (placement) flashback.placement = placement;
  if (chosen.k && chosen.index) flashback.k = Number(chosen.k);
  const model = known.base + (adapter && `+${adapter}`) + (chosen.index && `@${chosen.index}`);
  return { model, flashback: chosen.index ? flashback : {} };
}

/** chose tells what is chosen. */
export const chose = () => ({ ...chosen });

const placements = {
  virtual: "virtual: in front, by position",
  append: "append: behind the text",
  prepend: "prepend: in front, all read again",
  "in-turn": "in turn: before the question",
  none: "none: nothing is looked up",
};

/** bar returns the controls; those named are left out. */
export function bar(...without) {
  const field = (name, label, options) => {
    if (without.includes(name)) return null;
    const select = h("select", { onchange: (e) => { chosen[name] = e.target.value; draw(); } });
    bars.add(() => {
      fill(select, options().map(([value, text]) => h("option", { value }, text)));
      select.value = chosen[name] ?? "";
    });
    return h("label", {}, h("span", {}, label), select);
  };
  const whole = h("div", { class: "settings", role: "group", "aria-label": "How to answer" },
    field("index", "Documents", () => [...known.indexes.map((i) => [i.id, i.label]), ["", "none"]]),
    field("adapter", "Adapter", () => [["", "default"], ...known.adapters.map((a) => [a, a]), ["none", "none"]]),
    field("placement", "Placement", () => [["", "default"], ...Object.entries(placements)]),
    field("k", "Passages", () => [["", "default"], ...[1, 2, 3, 4, 6, 8].map((n) => [String(n), String(n)])]));
  draw();
  return whole;
}
