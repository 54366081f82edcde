// The grid: rows of pictures that go on as one scrolls.

import { newest, thumbnail } from "./api.js";
import { $, h, number, short, words } from "./dom.js";
import { ask, search, state } from "./state.js";

const PAGE = 60;
let shown = 0;
let done = false;
let loading = false;
let most = 10000;
let openDetail = () => {};
export let rows = [];

export function prepare(limit, open) {
  most = limit;
  openDetail = open;
  new IntersectionObserver(([entry]) => entry.isIntersecting && more(), { rootMargin: "600px" }).observe($("end"));
  $("grid").addEventListener("keydown", move);
}

/** Searches anew. */
export async function restart() {
  shown = 0;
  done = false;
  loading = false;
  await more(true);
}

async function more(fresh = false) {
  if (done || (loading && !fresh)) return;
  loading = true;
  const begin = performance.now();
  if (fresh) $("summary").textContent = "Searching…";
  $("grid").setAttribute("aria-busy", "true");
  try {
    const k = Math.min(PAGE, most - (fresh ? 0 : shown));
    const found = await newest("search", "api/search", { ...search(), k, offset: fresh ? 0 : shown });
    if (!found) return; // a newer one runs
    if (fresh) {
      rows = [];
      $("grid").replaceChildren();
    }
    rows.push(...found.rows);
    $("grid").append(...found.rows.map(card));
    shown += found.rows.length;
    done = found.rows.length < k || shown >= most;
    if (fresh) summarise(found, performance.now() - begin);
    $("end").textContent = !shown ? "" : done ? `That is all: ${number(shown)}.` : "…";
    loading = false;
    const end = $("end").getBoundingClientRect();
    if (!done && end.top < innerHeight + 600) more();
  } catch (error) {
    loading = false;
    done = true;
    if (fresh) $("grid").replaceChildren();
    $("summary").textContent = `No results: ${error.message}`;
    $("end").textContent = "";
  } finally {
    $("grid").removeAttribute("aria-busy");
  }
}

function summarise(found, milliseconds) {
  const what = state.picture ? "Nearest to your picture" : state.url ? "Nearest to the picture at that address"
    : state.like ? `Nearest to this ${state.by === "image" ? "picture" : "caption"}`
      : state.text.trim() ? `Nearest to “${state.text.trim()}”` : "Pictures in no particular order";
  const how = found.rows.length ? `${what} · ${Math.round(milliseconds)} ms` : "Nothing fits: widen the filters";
  $("summary").textContent = how;
}

function card(row) {
  const ratio = row.width && row.height ? Math.min(2.4, Math.max(0.5, row.width / row.height)) : 1;
  const image = h("img", { src: thumbnail(row, state.release), alt: row.text, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.classList.add("gone"));
  const made = h("li", { class: "card" },
    h("button", { class: "open", type: "button", "aria-haspopup": "dialog", onclick: () => openDetail(row) }, image),
    row.cosine === null ? null : h("span", { class: "score", title: "cosine" }, short(row.cosine)),
    h("div", { class: "near" },
      h("button", { type: "button", onclick: () => ask({ like: row.sample_id, by: "image" }), title: "Search by this picture" }, "like it"),
      h("button", { type: "button", onclick: () => ask({ text: words(row.text) }), title: "Search by this caption" }, "caption")),
    h("p", { class: "caption", dir: "auto", "aria-hidden": "true" }, row.text));
  made.style.setProperty("--ratio", ratio.toFixed(3));
  return made;
}

/** Arrow keys go from picture to picture; up and down by rows. */
function move(event) {
  const cards = [...document.querySelectorAll(".open")];
  const at = cards.indexOf(document.activeElement);
  if (at < 0) return;
  let to = null;
  if (event.key === "ArrowRight") to = cards[at + 1];
  else if (event.key === "ArrowLeft") to = cards[at - 1];
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const here = cards[at].getBoundingClientRect();
    const down = event.key === "ArrowDown";
    const others = cards.filter((card) => {
      const top = card.getBoundingClientRect().top;
      return down ? top > here.top + 10 : top < here.top - 10;
    });
    const distance = (card) => {
      const there = card.getBoundingClientRect();
      return Math.abs(there.top - here.top) * 10 + Math.abs(there.left + there.width / 2 - here.left - here.width / 2);
    };
    to = others.sort((a, b) => distance(a) - distance(b))[0];
  }
  if (to) {
    event.preventDefault();
    to.focus();
  }
}
