// The page: reads its state from the address, and follows it.

import { get, thumbnail } from "./api.js";
import { detail } from "./detail.js";
import * as dialogs from "./dialogs.js";
import { $, h } from "./dom.js";
import * as filters from "./filters.js";
import * as results from "./results.js";
import { ask, change, onChange, read, state } from "./state.js";

const QUIET = new Set(["captions"]); // what changes how results look, and not which they are
const COUNTED = new Set(["ranges", "languages", "where", "view", "safe", "release"]);

const about = {};

async function learn() {
  const release = state.release ? `?release=${encodeURIComponent(state.release)}` : "";
  Object.assign(about, await get(`api/lake${release}`));
  filters.offer(about);
}

function show() {
  if (document.activeElement !== $("text") || !state.text) $("text").value = state.text;
  $("modality").value = state.modality;
  $("model").value = state.model || about.models[0]?.name || "";
  $("release").value = state.release;
  chip();
  filters.show();
  document.title = state.text ? `${state.text} · Pairlake` : "Pairlake";
}

/** Beside the text: the picture that is searched by, with a way to leave it. */
function chip() {
  const told = state.picture ? ["your picture", state.picture.data] : state.url ? ["a picture's address", null] : state.like ? [state.by === "image" ? "this picture" : "this caption", null] : null;
  $("query-chip").hidden = !told;
  if (!told) return;
  const row = state.like && results.rows.find((each) => each.sample_id === state.like);
  const source = told[1] || (row ? thumbnail(row, state.release) : null);
  $("query-chip").replaceChildren(...[source ? h("img", { src: source, alt: "" }) : null, `near ${told[0]}`,
    h("button", { type: "button", class: "quiet", "aria-label": "Search by nothing", onclick: () => ask({}) }, "×")].filter(Boolean));
}

let followed = location.search; // what the page shows

async function follow(changed) {
  followed = location.search;
  if (changed.includes("release")) await learn().catch(() => {});
  show();
  if (changed.some((key) => !QUIET.has(key))) results.restart();
  if (changed.some((key) => COUNTED.has(key))) filters.recount();
}

function listen() {
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    ask({ text: $("text").value.trim() });
  });
  $("text").addEventListener("search", () => $("text").value === "" && state.text && ask({}));
  for (const id of ["modality", "model", "release"]) $(id).addEventListener("change", () => change({ [id]: $(id).value }));
  addEventListener("popstate", () => {
    if (location.search === followed) return; // a link within the page
    read();
    follow(["text", "ranges", "release"]);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file?.type.startsWith("image/")) dialogs.readPicture(file);
  });
  addEventListener("keydown", (event) => {
    const typing = /^(input|textarea|select)$/i.test(document.activeElement?.tagName || "");
    if (event.key === "/" && !typing && !$("dialog").open) {
      event.preventDefault();
      $("text").focus();
    }
  });
}

async function start() {
  read();
  onChange(follow);
  try {
    const release = state.release ? `?release=${encodeURIComponent(state.release)}` : "";
    Object.assign(about, await get(`api/lake${release}`));
  } catch (error) {
    $("summary").textContent = `The lake cannot be read: ${error.message}`;
    return;
  }
  $("model").append(...about.models.map((model) => h("option", { value: model.name }, model.name)));
  $("model-choice").hidden = about.models.length < 2;
  $("release").append(...about.releases.map((name) => h("option", { value: name }, `release ${name}`)));
  if (state.release && !about.releases.includes(state.release)) $("release").append(h("option", { value: state.release }, state.release));
  filters.prepare(about);
  results.prepare(about.most, (row) => detail(row, about));
  dialogs.prepare(about, learn);
  listen();
  show();
  results.restart();
  filters.recount();
}

start();
