// Elements without markup: text from a lake is only ever text, whatever it contains.

export const $ = (id) => document.getElementById(id);

/** An element with properties (`class`, `on…`, `data-…` and others as attributes) and children. */
export function h(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** An SVG element. */
export function s(name, given = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, String(value));
  return made;
}

/** `run`, once nothing has called it for `wait` milliseconds. */
export function calm(run, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), wait);
  };
}

export const number = (value) => Number(value).toLocaleString("en");

/** A number as short as it says something. */
export function short(value) {
  if (value === null || value === undefined) return "";
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
}

/** As much of a caption as is searched for: a model reads no more of it. */
export const words = (text) => [...text].slice(0, 300).join("").trim();

/** A web address if it is one that a link may lead to. */
export const web = (url) => (/^https?:\/\//i.test(url || "") ? url : null);
