// The server's API. A refusal is an Error whose message is what the server says.

async function told(response) {
  const type = response.headers.get("Content-Type") || "";
  const body = type.includes("json") ? await response.json() : {};
  if (response.ok) return body;
  throw new Error(body.error || `the server answered ${response.status}`);
}

export async function get(path, token) {
  return told(await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {} }));
}

export async function post(path, body, { signal, token } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  return told(await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

const running = new Map();

/** `post`, of which only the newest of its kind counts: null where a newer one has come. */
export async function newest(kind, path, body) {
  running.get(kind)?.abort();
  const mine = new AbortController();
  running.set(kind, mine);
  try {
    return await post(path, body, { signal: mine.signal });
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    if (running.get(kind) === mine) running.delete(kind);
  }
}

export const thumbnail = (row, release) =>
  `api/thumbnail/${row.url_id}${release ? `?release=${encodeURIComponent(release)}` : ""}`;
