// What the visitor chose, kept in the page's address: whoever opens it sees the same.

const DEFAULTS = {
  text: "", url: "", like: "", by: "image", modality: "image", model: "", release: "",
  captions: true, safe: true, collapse: "same", view: "", where: "", score: "", weight: 0.5,
  languages: [], ranges: {},
};
const NAMES = { text: "q", like: "near", modality: "in", collapse: "dup", weight: "aw", score: "as", languages: "lang" };
const name = (key) => NAMES[key] || key;

export const state = structuredClone(DEFAULTS);
state.picture = null; // an uploaded picture is in no address: {data, name}

let listen = () => {};

/** Calls `heard(what changed)` after each change. */
export function onChange(heard) {
  listen = heard;
}

/** Takes over `changes`; `push` makes a step that the browser's back button undoes. */
export function change(changes, push = true) {
  Object.assign(state, changes);
  const address = location.pathname + (written() ? `?${written()}` : "");
  if (address !== location.pathname + location.search) history[push ? "pushState" : "replaceState"](null, "", address);
  listen(Object.keys(changes));
}

/** What is searched for, exclusively: a text, a picture, its address, a pair, or nothing. */
export function ask(what) {
  change({ text: "", url: "", like: "", by: "image", picture: null, ...what });
}

function written() {
  const found = new URLSearchParams();
  for (const [key, standard] of Object.entries(DEFAULTS)) {
    const value = state[key];
    if (key === "ranges") {
      for (const [facet, [least, most]] of Object.entries(value)) found.set(`f.${facet}`, `${least ?? ""}..${most ?? ""}`);
    } else if (key === "languages") {
      if (value.length) found.set(name(key), value.join(","));
    } else if (value !== standard) found.set(name(key), typeof value === "boolean" ? Number(value) : value);
  }
  return found.toString();
}

/** Reads the state from the address. */
export function read() {
  const given = new URLSearchParams(location.search);
  Object.assign(state, structuredClone(DEFAULTS), { picture: null });
  for (const [key, standard] of Object.entries(DEFAULTS)) {
    const value = given.get(name(key));
    if (value === null || key === "ranges") continue;
    if (key === "languages") state[key] = value.split(",").filter(Boolean).slice(0, 100);
    else if (typeof standard === "boolean") state[key] = value !== "0";
    else if (typeof standard === "number") state[key] = Number.isFinite(Number(value)) ? Number(value) : standard;
    else state[key] = value;
  }
  if (!["none", "same", "near"].includes(state.collapse)) state.collapse = "same";
  if (!["image", "text"].includes(state.modality)) state.modality = "image";
  if (!["image", "text"].includes(state.by)) state.by = "image";
  if (!/^[0-9]?$/.test(state.score)) state.score = "";
  for (const [key, value] of given) {
    const bounds = /^(-?[0-9.]*(?:e-?[0-9]+)?)\.\.(-?[0-9.]*(?:e-?[0-9]+)?)$/.exec(value);
    if (key.startsWith("f.") && bounds) state.ranges[key.slice(2)] = bounds.slice(1).map(bound);
  }
}

const bound = (text) => (text === "" || Number.isNaN(Number(text)) ? null : Number(text));

/** The filters as the API takes them. */
export const filters = () => ({
  ranges: state.ranges, languages: state.languages, where: state.where, view: state.view || null, safe: state.safe,
});

/** The search as the API takes it. */
export function search() {
  const asked = {
    filters: filters(), modality: state.modality, model: state.model || null, release: state.release || null,
    collapse: state.collapse,
  };
  if (state.picture) asked.image = state.picture.data;
  else if (state.url) asked.image_url = state.url;
  else if (state.like) Object.assign(asked, { sample_id: state.like, like: state.by });
  else if (state.text.trim()) asked.text = state.text.trim();
  if (state.score !== "") Object.assign(asked, { aesthetic_score: Number(state.score), aesthetic_weight: state.weight });
  return asked;
}
