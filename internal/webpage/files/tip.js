import { h, newID } from "./dom.js";

/**
 * term is a word with an explanation, which shows while the word is pointed at or has the
 * focus, may be pointed at itself, and goes with Escape.
 */
export function term(word, explanation) {
  const id = newID("tip");
  const tip = h("span", { class: "tip", role: "tooltip", id }, explanation);
  const button = h("button", { class: "term", type: "button", "aria-describedby": id }, word);
  const whole = h("span", { class: "termed" }, button, tip);
  whole.addEventListener("keydown", (e) => {
    if (e.key === "Escape") whole.classList.add("away");
  });
  for (const back of ["pointerleave", "focusout"]) whole.addEventListener(back, () => whole.classList.remove("away"));
  // One that would stand outside the window is moved into it.
  const place = () => {
    tip.style.translate = "0px";
    const r = tip.getBoundingClientRect();
    const over = Math.max(0, r.right - document.documentElement.clientWidth + 8);
    tip.style.translate = `${r.left - over < 8 ? 8 - r.left : -over}px`;
  };
  whole.addEventListener("pointerenter", place);
  whole.addEventListener("focusin", place);
  return whole;
}

/** What the page's words mean. */
export const provenance = () => term("Provenance",
  "Which passages stood in the model’s sight while it wrote these words. That is certain, since the server put them there; it does not say that they mattered.");
export const influence = () => term("Influence",
  "How much less probable these words are without the passage, in nats, summed over their tokens: 1 nat is 2.7 times, 2 nats 7 times less probable. Below 0 the words are more probable without it. The answer is scored once more without each passage, when you ask for it.");
export const kept = () => term("Kept",
  "In sight in the stride before, too. Its keys and values stay in memory, and nothing of it is read again where the placement allows that.");
export const stride = () => term("Stride",
  "The tokens from one look-up to the next, 16 as a rule. Before each, passages are looked up with the question and the last words written.");
