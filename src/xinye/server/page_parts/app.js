// What the pages of people who work with an application share, behind stream.js. Each page has WORDS, `me` (who is signed in: name, key, admin; null if nobody is),
// `signed()` (the name of the person as the server wants it), `enter(name, key)`, `leave()`, `draw()` and `pick(tab)`.
const wanted = new URLSearchParams(location.search).get("lang");
let language = kept.get("language") ?? (["zh", "en"].includes(wanted) ? wanted : navigator.languages.some(each => each.startsWith("zh")) ? "zh" : "en");
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
  headers["Accept-Language"] = language;  // of what the server says if it refuses
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), ...more });
  } catch (error) { throw new Refused(0, error.message); }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  throw new Refused(answer.status, told?.error?.message ?? `${answer.status}`);
}

const streamed = (path, more, headers) => request("GET", path, null, more, headers);
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

// -- signing in ------------------------------------------------------------------------------------

// The form, whose field `id` has the name: the page's `enter(name, key)` asks the server. `changed` follows another language.
function door(id, changed) {
  at("enter").addEventListener("submit", doing(async () => {
    const name = at(id).value.trim(), key = at("key").value.trim();
    if (!name || !key) return;
    if (/[^!-~]/.test(key)) { tell(say(401)); return; }  // no key has such characters, and no header could carry them
    try { await enter(name, key); } catch (error) { me = null; throw error; }
  }));
  at("leave").addEventListener("click", () => { tell(""); leave(); });
  at("hide").addEventListener("click", () => tell(""));
  at("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    kept.set("language", language);
    tell("");
    draw();
    if (me) changed();
  });
  for (const each of document.querySelectorAll("[data-tab]")) each.addEventListener("click", () => { tell(""); pick(each.dataset.tab); });
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
