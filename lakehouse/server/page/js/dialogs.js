// The one dialog, and the forms that are shown in it.

import { get, post } from "./api.js";
import { $, h, number } from "./dom.js";
import { rows } from "./results.js";
import { ask, change, filters, search, state } from "./state.js";

const dialog = () => $("dialog");

/** Shows `children` under a title. */
export function open(title, ...children) {
  $("dialog-title").textContent = title;
  $("dialog-body").replaceChildren(...children);
  if (!dialog().open) dialog().showModal();
}

export function close() {
  dialog().close();
}

/** Buttons that open dialogs; `about` is what the server says of the lake, `refresh` asks it anew. */
export function prepare(about, refresh) {
  dialog().querySelector(".close").addEventListener("click", close);
  dialog().addEventListener("click", (event) => event.target === dialog() && close());
  $("by-picture").addEventListener("click", byPicture);
  $("save").addEventListener("click", () => save(about, refresh));
  $("subsets").addEventListener("click", subsets);
  $("download").addEventListener("click", download);
  $("changes").addEventListener("click", () => changes(about));
}

// ---------------------------------------------------------------- search by a picture

export function readPicture(file) {
  const reader = new FileReader();
  reader.onload = () => {
    close();
    ask({ picture: { data: reader.result, name: file.name } });
  };
  reader.readAsDataURL(file);
}

function byPicture() {
  const file = h("input", { type: "file", accept: "image/jpeg,image/png,image/webp,image/gif", id: "file",
    onchange: (event) => event.target.files[0] && readPicture(event.target.files[0]) });
  const url = h("input", { type: "url", id: "picture-url", placeholder: "https://…", pattern: "https?://.+", maxlength: 4000 });
  open("Search by a picture",
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      if (!url.value) return;
      close();
      ask({ url: url.value });
    } },
    h("label", { for: "file" }, "A picture of yours", file),
    h("p", { class: "note" }, "It is sent to this server, looked at, and not kept. Dropping it on the page does the same."),
    h("label", { for: "picture-url" }, "or the address of one on the web", url),
    h("p", { class: "note" }, "This server fetches it: its host learns the server's address, not yours."),
    h("div", { class: "buttons" }, h("button", { type: "submit" }, "Search by this address"))));
}

// ---------------------------------------------------------------- the token

/** A field for the token, remembered until the tab is closed. */
export function tokenField() {
  const field = h("input", { type: "password", id: "token", required: true, autocomplete: "off" });
  field.value = sessionStorage.getItem("token") || "";
  return { label: h("label", { for: "token" }, "Token (from whoever runs this server)", field),
    get value() {
      sessionStorage.setItem("token", field.value);
      return field.value;
    } };
}

export const noWrites = () => h("p", {}, "This server takes no writes: it was started without a token.");

// ---------------------------------------------------------------- subsets

function save(about, refresh) {
  if (!about.writes) return open("Save as a subset", noWrites());
  if (state.release) return open("Save as a subset", h("p", {}, "Subsets are saved from the lake as it is now: choose that version first. A release does not change any more."));
  const token = tokenField();
  const name = h("input", { id: "subset-name", required: true, pattern: "[a-z][a-z0-9_]{0,40}", maxlength: 41, type: "text", placeholder: "red_bicycles", autocapitalize: "off", spellcheck: "false" });
  const note = h("input", { id: "subset-about", type: "text", maxlength: 200, placeholder: "what it is for" });
  const { text, image, image_url, sample_id } = search();
  const searched = text || image || image_url || sample_id;
  const count = h("input", { id: "subset-results", type: "number", min: 1, max: about.most, value: Math.max(rows.length, 1) });
  const only = h("input", { type: "checkbox", id: "subset-only", checked: Boolean(searched) });
  const wrong = h("p", { class: "error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    try {
      const results = searched && only.checked ? Number(count.value) : null;
      const saved = await post("api/subset", { name: name.value, about: note.value, search: search(), results }, { token: token.value });
      await refresh();
      open(`Saved as ${saved.view}`, subset(saved), h("p", { class: "note" }, "Run a command where LAKE_ROOT names this lake. Saving under this name again makes the next version; this one stays as it is."));
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  open("Save as a subset", h("form", { onsubmit: submit },
    h("label", { for: "subset-name" }, "Name (letters a–z, digits, _)", name),
    h("label", { for: "subset-about" }, "About", note),
    searched ? h("label", { class: "row" }, h("span", {}, only, " Only the nearest results of this search:"), count)
      : h("p", { class: "note" }, "It is saved as a condition: pairs that come to the lake later and satisfy it belong to it as well."),
    token.label, wrong, h("div", { class: "buttons" }, h("button", { type: "submit" }, "Save"))));
}

async function subsets() {
  open("Saved subsets", h("p", {}, "…"));
  try {
    const saved = await get("api/subset");
    open("Saved subsets", ...(saved.length ? saved.reverse().map(subset) : [h("p", {}, "None yet.")]));
  } catch (error) {
    open("Saved subsets", h("p", { class: "error" }, error.message));
  }
}

function subset(saved) {
  const command = h("pre", { class: "command", tabindex: 0 }, h("code", {}, saved.commands.webdataset));
  const form = h("select", { "aria-label": "Format of the export", onchange: (event) => {
    command.firstChild.textContent = saved.commands[event.target.value];
  } }, Object.keys(saved.commands).map((each) => h("option", { value: each }, each)));
  const copy = h("button", { type: "button", class: "quiet", onclick: async () => {
    await navigator.clipboard?.writeText(command.textContent);
    copy.textContent = "Copied";
  } }, "Copy");
  return h("section", { class: "subset", "aria-label": saved.view },
    h("div", {}, h("strong", {}, saved.view), ` — ${saved.about}`, h("span", { class: "note" }, ` · ${saved.at}`)),
    h("div", { class: "buttons" }, h("label", {}, "Export as ", form), copy,
      h("button", { type: "button", class: "quiet", onclick: () => {
        close();
        change({ view: saved.view, ranges: {}, languages: [], where: "", release: "" });
      } }, "Show")),
    command,
    h("details", {}, h("summary", {}, "SQL"), h("pre", {}, h("code", {}, saved.sql))));
}

// ---------------------------------------------------------------- download

function download() {
  const count = h("input", { id: "download-count", type: "number", min: 1, max: 10000, value: Math.max(rows.length, 1), required: true });
  const form = h("select", { id: "download-form" }, h("option", { value: "json" }, "JSON"), h("option", { value: "csv" }, "CSV"));
  const wrong = h("p", { class: "error", role: "alert" });
  open("Download what is shown", h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      const found = await post("api/search", { ...search(), k: Number(count.value) });
      hand(form.value === "csv" ? csv(found.rows) : JSON.stringify(found.rows, null, 1), `pairs.${form.value}`);
      close();
    } catch (error) {
      wrong.textContent = error.message;
    }
  } }, h("label", { for: "download-count" }, "Results, nearest first", count), h("label", { for: "download-form" }, "As", form), wrong,
  h("p", { class: "note" }, "URLs, captions and scores, no pictures. To take pictures out as well, save a subset: it comes with the command that exports it."),
  h("div", { class: "buttons" }, h("button", { type: "submit" }, "Download"))));
}

function csv(found) {
  const columns = Object.keys(found[0] || {});
  const cell = (value) => (value === null ? "" : /[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return [columns, ...found.map((row) => columns.map((column) => row[column]))].map((line) => line.map(cell).join(",")).join("\r\n");
}

function hand(text, name) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text])), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---------------------------------------------------------------- what changed

function changes(about) {
  if (!about.releases.length) return open("What changed", h("p", {}, "There is no release yet to compare with: ", h("code", {}, "lake release create NAME")));
  const since = h("select", { id: "since" }, about.releases.map((name) => h("option", { value: name }, name)));
  const shown = h("div", { role: "status" });
  open("What changed", h("form", { onsubmit: async (event) => {
    event.preventDefault();
    shown.replaceChildren(h("p", { class: "note" }, "Comparing…"));
    try {
      const view = state.view || "pairs";
      const query = new URLSearchParams({ since: since.value, view, ...(state.release ? { release: state.release } : {}) });
      shown.replaceChildren(difference(await get(`api/diff?${query}`), since.value));
    } catch (error) {
      shown.replaceChildren(h("p", { class: "error" }, error.message));
    }
  } }, h("label", { class: "row", for: "since" }, `In ${state.view || "all pairs"}, ${state.release || "as it is now"}, since`, since),
  h("div", { class: "buttons" }, h("button", { type: "submit" }, "Compare"))), shown);
}

function difference(found, since) {
  const sizes = `${number(found.before)} pairs in ${since}, ${number(found.after)} in what is shown`;
  if (!found.counts.length) return h("p", {}, `${sizes}: no difference.`);
  return h("div", {}, h("p", {}, sizes), h("table", {},
    h("thead", {}, h("tr", {}, h("th", {}, "Change"), h("th", {}, "Reason"), h("th", {}, "Pairs"))),
    h("tbody", {}, found.counts.map((count) => h("tr", {}, h("td", {}, count.change), h("td", {}, count.reason.replaceAll("_", " ")), h("td", {}, number(count.rows)))))));
}
