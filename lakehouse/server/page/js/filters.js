// The panel: what is left of the lake, and the controls that decide about it.

import { newest } from "./api.js";
import { $, calm, h, number, s, short } from "./dom.js";
import { change, filters, state } from "./state.js";

const BINS = 32;
const LABELS = {
  similarity: "Similarity of picture and caption", aesthetic: "Aesthetic score", punsafe: "Unsafe (punsafe)",
  pwatermark: "Watermark (pwatermark)", toxicity: "Toxicity of the caption", side: "Shorter side, pixels",
  width: "Width, pixels", height: "Height, pixels", aspect: "Width ÷ height", words: "Words in the caption",
};
const SHOWN = ["similarity", "aesthetic", "side", "width", "height", "aspect", "words", "punsafe", "pwatermark", "toxicity"];
const WHOLE = new Set(["side", "width", "height", "words"]);
const facets = new Map(); // name -> its elements and range

/** Makes the controls once; `about` is what the server says of the lake. */
export function prepare(about) {
  $("columns").textContent = about.columns.join(", ");
  for (const id of ["safe", "captions"]) $(id).addEventListener("change", () => change({ [id]: $(id).checked }));
  for (const id of ["collapse", "view"]) $(id).addEventListener("change", () => change({ [id]: $(id).value }));
  const condition = calm(() => change({ where: $("where").value }), 350);
  $("where").addEventListener("input", condition);
  $("reset").addEventListener("click", () => change({ ranges: {}, languages: [], where: "", view: "", safe: true }));
  $("show-filters").addEventListener("click", () => {
    const open = $("filters").classList.toggle("shown");
    $("show-filters").setAttribute("aria-expanded", String(open));
  });
  for (let score = 0; score < 10; score++) $("aesthetic-score").append(h("option", { value: score }, String(score)));
  $("aesthetic-score").addEventListener("change", () => change({ score: $("aesthetic-score").value }));
  $("aesthetic-weight").addEventListener("change", () => change({ weight: Number($("aesthetic-weight").value) }));
  offer(about);
}

/** The views that can be chosen, and whether pictures can be steered by a rating. */
export function offer(about) {
  $("view").replaceChildren(h("option", { value: "" }, "all pairs"),
    ...about.views.map((view) => h("option", { value: view.name, title: view.about }, view.name)));
  if (state.view && !about.views.some((view) => view.name === state.view)) $("view").append(h("option", { value: state.view }, state.view));
  $("view").value = state.view;
  const model = about.models.find((each) => each.name === state.model) || about.models[0];
  $("steering").hidden = !model?.steerable;
}

/** Shows the state in the controls. */
export function show() {
  $("safe").checked = state.safe;
  $("captions").checked = state.captions;
  $("collapse").value = state.collapse;
  $("view").value = state.view;
  $("aesthetic-score").value = state.score;
  $("aesthetic-weight").value = state.weight;
  if (document.activeElement !== $("where")) $("where").value = state.where;
  document.body.classList.toggle("no-captions", !state.captions);
  for (const [name, facet] of facets) position(name, facet);
}

/** Counts what the filters leave, and how it is distributed. */
export async function recount() {
  const asked = { filters: filters(), release: state.release || null };
  try {
    const [counted, found] = await Promise.all([
      newest("count", "api/count", asked),
      newest("histogram", "api/histogram", { ...asked, facets: [...SHOWN, "language"], bins: BINS }),
    ]);
    if (!counted || !found) return;
    $("where-error").textContent = "";
    $("where").removeAttribute("aria-invalid");
    $("count").replaceChildren(h("strong", {}, number(counted.matching)), ` of ${number(counted.all)} pairs`);
    $("show-filters").textContent = `Filters · ${number(counted.matching)}`;
    $("count-bar").style.width = `${counted.all ? (100 * counted.matching) / counted.all : 0}%`;
    for (const name of SHOWN) draw(name, found[name]);
    languages(found.language);
  } catch (error) {
    $("where-error").textContent = error.message;
    $("where").setAttribute("aria-invalid", "true");
    $("count").textContent = "The filters cannot be applied";
  }
}

// ---------------------------------------------------------------- a range of numbers

function draw(name, told) {
  let facet = facets.get(name);
  if (!told.known || told.low === told.high) {
    if (facet && !state.ranges[name]) {
      facet.element.remove();
      facets.delete(name);
    }
    if (!facet) return;
  }
  if (!facet) facet = made(name);
  if (told.low !== null) {
    facet.low = WHOLE.has(name) ? told.low : Math.floor(told.low * 1000) / 1000;
    facet.high = WHOLE.has(name) ? told.high : Math.ceil(told.high * 1000) / 1000;
  }
  facet.counts = told.counts;
  const step = WHOLE.has(name) ? 1 : Math.max(0.001, Number(((facet.high - facet.low) / 200).toPrecision(1)));
  for (const slider of facet.sliders) Object.assign(slider, { min: facet.low, max: facet.high, step: WHOLE.has(name) ? 1 : step / 10 });
  for (const field of facet.fields) field.step = "any";
  position(name, facet);
}

function made(name) {
  const label = LABELS[name];
  const slider = (which, at) => h("input", { type: "range", "aria-label": `${label}: ${which}`,
    oninput: (event) => typed(name, at, Number(event.target.value), true) });
  const field = (which, at) => h("input", { type: "number", "aria-label": `${label}: ${which}, as a number`,
    onchange: (event) => typed(name, at, event.target.value === "" ? null : Number(event.target.value), false) });
  const graph = s("svg", { viewBox: `0 0 ${BINS * 10} 40`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (let bin = 0; bin < BINS; bin++) graph.append(s("rect", { x: bin * 10 + 0.5, width: 9, y: 40, height: 0 }));
  const sliders = [slider("least", 0), slider("most", 1)];
  const fields = [field("least", 0), field("most", 1)];
  const element = h("fieldset", { class: "facet", "data-facet": name }, h("legend", {}, label), graph,
    h("div", { class: "sliders" }, sliders), h("div", { class: "bounds" }, fields));
  const facet = { element, graph, sliders, fields, low: 0, high: 1, counts: [] };
  facets.set(name, facet);
  const after = SHOWN.slice(SHOWN.indexOf(name) + 1).map((other) => facets.get(other)?.element).find(Boolean);
  $("facets").insertBefore(element, after || null);
  return facet;
}

function position(name, facet) {
  const [least, most] = state.ranges[name] || [null, null];
  const from = least ?? facet.low;
  const to = most ?? facet.high;
  facet.sliders[0].value = from;
  facet.sliders[1].value = to;
  facet.fields.forEach((field, at) => {
    field.placeholder = short(at ? facet.high : facet.low);
    if (document.activeElement !== field) field.value = [least, most][at] ?? "";
  });
  const highest = Math.max(1, ...facet.counts);
  [...facet.graph.children].forEach((bar, bin) => {
    // A root, so that the few are seen beside the many
    const height = facet.counts[bin] ? Math.max(1.5, 40 * Math.sqrt(facet.counts[bin] / highest)) : 0;
    bar.setAttribute("height", height);
    bar.setAttribute("y", 40 - height);
    const middle = facet.low + ((bin + 0.5) / BINS) * (facet.high - facet.low);
    bar.classList.toggle("in", middle >= from && middle <= to);
  });
}

const settled = calm((ranges) => change({ ranges }), 180);

function typed(name, at, value, isSlider) {
  const facet = facets.get(name);
  const range = [...(state.ranges[name] || [null, null])];
  const end = at ? facet.high : facet.low;
  range[at] = value === null || Number.isNaN(value) || (isSlider && value === end) ? null : Number(value.toPrecision(6));
  if (range[0] !== null && range[1] !== null && range[0] > range[1]) range[1 - at] = range[at];
  const ranges = { ...state.ranges, [name]: range };
  if (range[0] === null && range[1] === null) delete ranges[name];
  state.ranges = ranges; // at once in the bars; the rest when the hand rests
  position(name, facet);
  settled(ranges);
}

// ---------------------------------------------------------------- languages

const LANGUAGES = 14;

function languages(told) {
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
  const worded = (code) => {
    try {
      return code === "unknown" ? "not certain" : names.of(code);
    } catch {
      return code;
    }
  };
  const list = told.values.map((code, at) => [code, told.counts[at]]);
  const shown = list.filter(([code], at) => at < LANGUAGES || state.languages.includes(code));
  const focused = document.activeElement?.dataset?.language;
  $("languages").replaceChildren(...shown.map(([code, n]) => h("label", { title: worded(code) },
    h("input", { type: "checkbox", "data-language": code, checked: state.languages.includes(code), onchange: (event) => {
      const rest = state.languages.filter((other) => other !== code);
      change({ languages: event.target.checked ? [...rest, code] : rest });
    } }), code === "unknown" ? "?" : code, h("span", { class: "unseen" }, worded(code)), h("small", {}, number(n)))));
  if (focused) document.querySelector(`[data-language="${CSS.escape(focused)}"]`)?.focus();
}
