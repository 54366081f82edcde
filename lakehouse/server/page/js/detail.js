// A pair's card: what is known of it, where it comes from, and the way to have it removed.

import { get, post, thumbnail } from "./api.js";
import { $, h, number, short, web, words } from "./dom.js";
import { close, noWrites, open, tokenField } from "./dialogs.js";
import { ask, state } from "./state.js";

const FACTS = ["language", "license", "similarity", "aesthetic", "punsafe", "pwatermark", "toxicity", "sample_id", "phash", "sha256"];

/** Opens the card of a row of results. */
export async function detail(row, about) {
  const text = h("p", { class: "text", dir: "auto", tabindex: row.text.length > 300 ? 0 : null }, row.text);
  const facts = h("dl", { class: "facts" });
  const origin = h("div", {}, h("p", { class: "note" }, "Where it comes from…"));
  open("A pair",
    h("div", { class: "detail" },
      h("div", {}, h("img", { src: thumbnail(row, state.release), alt: row.text })),
      h("div", {}, text, facts,
        h("div", { class: "buttons" },
          h("button", { type: "button", onclick: () => go({ like: row.sample_id, by: "image" }) }, "More like this picture"),
          h("button", { type: "button", class: "quiet", onclick: () => go({ text: words(row.text) }) }, "Search by its caption"),
          h("button", { type: "button", class: "quiet", onclick: () => removal(row, about) }, "Ask for removal…")))),
    origin);
  try {
    const release = state.release ? `?release=${encodeURIComponent(state.release)}` : "";
    const told = await get(`api/row/${row.sample_id}${release}`);
    facts.replaceChildren(...pairs(told.pair));
    origin.replaceChildren(...provenance(told));
  } catch (error) {
    origin.replaceChildren(h("p", { class: "error" }, error.message));
  }
}

function go(what) {
  close();
  ask(what);
  $("results").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function fact(name, value) {
  return value === null || value === undefined || value === "" ? [] : [h("dt", {}, name), h("dd", {}, value)];
}

/** An address as a link, of which neither we nor the page's reader tell the other side where they come from. */
function link(url) {
  return web(url) ? h("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank" }, url) : url;
}

function pairs(pair) {
  const size = pair.width ? `${pair.width} × ${pair.height}` : null;
  return [fact("picture", link(pair.url)), fact("size", size),
    ...FACTS.map((name) => fact(name, typeof pair[name] === "number" ? short(pair[name]) : pair[name]))].flat();
}

function provenance(told) {
  const shown = [h("h3", {}, "Provenance"), h("dl", { class: "facts" },
    ...fact("page", link(told.page_url)), ...fact("crawl file", told.crawl_file),
    ...told.attempts.flatMap((attempt) => fact(`fetched, try ${attempt.attempt}`, [attempt.fetched_at?.slice(0, 19), attempt.status, attempt.http_status, attempt.error, (attempt.opt_out || []).join(" ")].filter(Boolean).join(" · "))),
    ...fact("models", told.models.map((model) => [model.name, model.architecture, model.pretrained].filter(Boolean).join(" / ")).join(", "))),
  h("h3", {}, "Scores"), table(["scorer", "value"], told.scores.map((score) => [score.scorer, short(score.value)])),
  h("h3", {}, "Batches that made it"), table(["table", "batch", "version", "rules", "rows", "finished"],
    told.batches.map((batch) => [batch.key, batch.batch, batch.version, batch.rules, number(batch.rows), batch.at]))];
  const others = told.captions.filter((caption) => caption.sample_id !== told.pair.sample_id);
  if (others.length) shown.push(h("h3", {}, "Other captions of this picture"), h("ul", {}, others.map((caption) => h("li", { dir: "auto" }, caption.text))));
  return shown;
}

function table(head, lines) {
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", {}, name)))),
    h("tbody", {}, lines.map((line) => h("tr", {}, line.map((cell) => h("td", {}, cell === null ? "" : String(cell))))))));
}

function removal(row, about) {
  if (!about.writes) return open("Ask for removal", noWrites(), h("p", { class: "note" }, `Write to whoever runs it, and name sample_id ${row.sample_id}.`));
  const token = tokenField();
  const what = h("select", { id: "removal-what" }, h("option", { value: "picture" }, "the picture, with all its captions"), h("option", { value: "pair" }, "this pair alone"));
  const reason = h("textarea", { id: "removal-reason", rows: 3, maxlength: 500 });
  const wrong = h("p", { class: "error", role: "alert" });
  open("Ask for removal", h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      const made = await post("api/removal", { sample_id: row.sample_id, what: what.value, reason: reason.value }, { token: token.value });
      open("Asked for removal", h("p", {}, "The request is kept until whoever runs the lake has looked at it. They carry it out with"), h("pre", { class: "command" }, h("code", {}, made.command)));
    } catch (error) {
      wrong.textContent = error.message;
    }
  } }, h("label", { for: "removal-what" }, "Take out", what), h("label", { for: "removal-reason" }, "Why (it is kept: name nobody)", reason), token.label, wrong,
  h("div", { class: "buttons" }, h("button", { type: "submit" }, "Ask for removal"))));
}
