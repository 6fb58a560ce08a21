// What the pages of applications share. Each page has WORDS, `me` (who is signed in: name, key, admin; null if nobody is),
// `signed()` (the name of the person as the server wants it) and `leave()`.
const LONGEST_PAUSE = 30_000, SILENCE = 45_000;  // milliseconds
const at = id => document.getElementById(id);
const kept = {
  get: name => { try { return JSON.parse(sessionStorage.getItem(`xinye.${name}`)); } catch { return null; } },
  set: (name, value) => { try { sessionStorage.setItem(`xinye.${name}`, JSON.stringify(value)); } catch { /* not kept, then */ } },
};
const wanted = new URLSearchParams(location.search).get("lang");
let language = kept.get("language") ?? (["zh", "en"].includes(wanted) ? wanted : navigator.languages.some(each => each.startsWith("zh")) ? "zh" : "en");
let base = 2000;  // milliseconds until a stream is opened again
const say = (word, ...values) => { const found = WORDS[language][word]; return values.length ? found(...values) : found; };

function element(tag, name = "", ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

function button(text, act, name = "") {
  const made = element("button", name, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// -- requests --------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function request(method, path, body, more = {}, headers = {}) {
  headers.Authorization = `Bearer ${me.key}`;
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), ...more });
  } catch (error) { throw new Refused(0, error.message); }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Refused(answer.status, told?.error?.message ?? `${answer.status}`);
}

const read = async path => (await request("GET", path)).json();
const post = async (path, body) => (await request("POST", path, { ...signed(), ...body })).json();

function tell(text, good = false) {
  at("line").querySelector("span").textContent = text;
  at("line").className = good ? "good" : "";
  at("line").hidden = !text;
}

function refused(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refused)) throw error;
  tell(error.status >= 500 ? say(503) : say(error.status) ?? error.message);
  if (error.status === 401) leave();
}

// An action of a button, whose error becomes one line.
const doing = act => async event => {
  event?.preventDefault();
  try { tell(""); await act(event); } catch (error) { refused(error); }
};

let wakers = [];
function pause(tries) {
  const wait = Math.min(LONGEST_PAUSE, base * 2 ** tries) * (0.5 + Math.random() / 2);
  return new Promise(done => { wakers.push(done); setTimeout(done, wait); });
}
function wake() {
  const waiting = wakers;
  wakers = [];
  for (const each of waiting) each();
}

async function* events(path, last, signal) {
  const silent = new AbortController();
  let timer = 0, rest = "";
  const alive = () => { clearTimeout(timer); timer = setTimeout(() => silent.abort(), SILENCE); };
  try {
    alive();
    const headers = { Accept: "text/event-stream", "Last-Event-ID": `${last}` };
    const answer = await request("GET", path, null, { signal: AbortSignal.any([signal, silent.signal]) }, headers);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const fields = {};
        for (const line of part.split("\n")) {
          const end = line.indexOf(":");
          if (end > 0) fields[line.slice(0, end)] = line.slice(end + 1).replace(/^ /, "");
        }
        if (fields.retry) base = Number(fields.retry) || base;
        yield { name: fields.event ?? "", data: fields.data ? JSON.parse(fields.data) : {}, id: fields.id };
      }
    }
  } finally { clearTimeout(timer); silent.abort(); }
}

// Follows a stream until `signal` ends it, or `act` says true; it is opened again with growing pauses.
async function follow(path, last, signal, act, connected) {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      for await (const event of events(path, last(), signal)) {
        if (signal.aborted) return;
        tries = 0;
        connected(true);
        if (act(event)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if ([401, 404].includes(error.status)) { refused(error); return; }
    }
    if (signal.aborted) return;
    connected(false);
    await pause(tries);
  }
}

// -- dialogs and tables ----------------------------------------------------------------------------

function sure(text) {
  at("question").textContent = text;
  at("sure").returnValue = "";
  at("sure").showModal();
  return new Promise(done => at("sure").addEventListener("close", () => done(at("sure").returnValue === "yes"), { once: true }));
}

function table(head, rows) {
  const numbers = new Set(rows[0]?.flatMap((each, index) => typeof each === "number" ? [index] : []));
  const line = (cells, tag) => element("tr", "", ...cells.map((each, index) => {
    const cell = element(tag, numbers.has(index) ? "number" : "");
    if (head && tag === "td") cell.dataset.head = head[index];
    cell.append(typeof each === "number" ? each.toLocaleString(language) : each);
    return cell;
  }));
  return [...(head ? [element("thead", "", line(head, "th"))] : []), element("tbody", "", ...rows.map(cells => line(cells, "td")))];
}
