// What all pages share: what a reload keeps, and streams of events, which are opened again. Each page has
// `streamed(path, more, headers)`, which asks the server.
const LONGEST_PAUSE = 30_000, SILENCE = 45_000;  // milliseconds between two tries, and without a sign of life
const at = id => document.getElementById(id);
const kept = {
  get: name => { try { return JSON.parse(sessionStorage.getItem(`xinye.${name}`)); } catch { return null; } },
  set: (name, value) => { try { sessionStorage.setItem(`xinye.${name}`, JSON.stringify(value)); } catch { /* not kept, then */ } },
};
let base = 2000;  // milliseconds until a stream is opened again
let wakers = [];

// The pause grows with each try, and differs from browser to browser. It ends early when the network or the reader comes back.
function pause(tries, least = 0) {
  const wait = Math.max(least * 1000, Math.min(LONGEST_PAUSE, base * 2 ** tries) * (0.5 + Math.random() / 2));
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
    const answer = await streamed(path, { signal: AbortSignal.any([silent.signal, ...(signal ? [signal] : [])]) }, headers);
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
