// Adds a button to a page, which opens the chat of the desk that this script was loaded from:
//   <script src="https://desk.example/widget.js" defer></script>
// The chat is loaded when it is first opened. The desk must allow the page's origin (--allow-origin); where it
// does not, there is no button. The server puts the origins that it allows in place of ALLOWED.
(script => {
  "use strict";
  const desk = new URL(script.src).origin, mark = "data-xinye-support";
  const zh = (document.documentElement.lang || navigator.language).toLowerCase().startsWith("zh");
  const WORDS = zh ? { open: "联系客服", close: "关闭客服窗口", chat: "客服" } : { open: "Contact support", close: "Close support", chat: "Support" };
  const STYLE = `
    :host { all: initial; color-scheme: light dark; }
    button {
      position: fixed; right: 20px; bottom: 20px; z-index: 2147483647; display: grid; place-items: center; width: 56px; height: 56px;
      border: 0; border-radius: 50%; background: #2a7437; color: #fff; cursor: pointer; box-shadow: 0 4px 16px #0004;
    }
    button:hover { background: #225f2d; }
    button:focus-visible { outline: 3px solid #2a7437; outline-offset: 3px; }
    svg { width: 28px; height: 28px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    iframe {
      position: fixed; right: 20px; bottom: 88px; z-index: 2147483647; width: 380px; height: min(620px, calc(100dvh - 108px));
      border: 0; border-radius: 16px; background: light-dark(#f6f7f3, #141613); box-shadow: 0 8px 40px #0005;
    }
    @media (max-width: 480px) { iframe { right: 8px; bottom: 84px; width: calc(100vw - 16px); height: calc(100dvh - 92px); } }
    [hidden] { display: none; }
  `;
  const SHAPES = { open: "M4 5h16v11H10l-5 4v-4H4zM8 9h8M8 12.5h5", close: "M6 6l12 12M18 6L6 18" };

  const allowed = [desk, ...ALLOWED].some(each => URL.canParse(each) && new URL(each).origin === location.origin);

  function add() {
    if (document.querySelector(`[${mark}="${desk}"]`)) return;  // the script is there twice
    const host = document.createElement("div"), root = host.attachShadow({ mode: "closed" }), sheet = new CSSStyleSheet();
    host.setAttribute(mark, desk);
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const button = document.createElement("button"), [picture, path] = ["svg", "path"].map(tag => document.createElementNS("http://www.w3.org/2000/svg", tag));
    button.type = "button";
    picture.setAttribute("aria-hidden", "true");
    picture.append(path);
    button.append(picture);
    root.append(button);
    document.body.append(host);
    let frame = null, ready = 0;

    function show(open) {
      if (open && !frame) {
        frame = document.createElement("iframe");
        frame.title = WORDS.chat;
        frame.src = `${desk}/?embed=1&lang=${zh ? "zh" : "en"}`;
        root.prepend(frame);
        ready = setTimeout(() => console.warn(`The chat of ${desk} did not open. Does its desk allow this page? --allow-origin ${location.origin}`), 10_000);
      }
      if (frame) frame.hidden = !open;
      path.setAttribute("d", SHAPES[open ? "close" : "open"]);
      button.title = WORDS[open ? "close" : "open"];
      button.setAttribute("aria-label", button.title);
      button.setAttribute("aria-expanded", open);
      if (open) frame.focus();
    }

    addEventListener("message", event => {
      if (!frame || event.source !== frame.contentWindow || event.origin !== desk) return;
      if (event.data === "xinye:ready") clearTimeout(ready);
      if (event.data === "xinye:close") { show(false); button.focus(); }
    });
    root.addEventListener("keydown", event => { if (event.key === "Escape" && frame && !frame.hidden) { show(false); button.focus(); } });
    button.addEventListener("click", () => show(!frame || frame.hidden));
    show(false);
  }
  if (!allowed) console.warn(`The chat of ${desk} is not shown: start its server with --allow-origin ${location.origin}`);
  else if (document.body) add();
  else addEventListener("DOMContentLoaded", add, { once: true });
})(document.currentScript);
