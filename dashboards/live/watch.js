// Keeps a page up to date: parts that have changed come as events and take the place of those with the same id.
const body = document.body;
const age = document.getElementById("age");
const trouble = document.getElementById("trouble");
let readAt = performance.now() / 1000 - Number(body.dataset.age);
let lost = false;

// The content policy forbids styles in HTML. Those of drawings come as data and are set here.
function style(root) {
  for (const each of root.querySelectorAll("[data-style]")) {
    each.style.cssText = each.dataset.style;
    each.removeAttribute("data-style");
  }
}

function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function tell() {
  const seconds = performance.now() / 1000 - readAt;
  age.textContent = `Read ${span(seconds)} ago.${lost ? " The server does not answer; this page tries again." : ""}`;
  age.classList.toggle("old", lost || seconds > 60);
}

function put([id, html, parent]) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  const fresh = template.content.firstElementChild;
  if (!fresh) return;
  style(template.content);
  const old = document.getElementById(id);
  if (!old) {
    document.getElementById(parent)?.append(fresh);
    return;
  }
  // What the visitor has opened stays open, what has the focus keeps it, and what was scrolled stays where it is.
  const opened = [...old.querySelectorAll("details[open]")].map((each) => each.querySelector("summary").textContent);
  const boxes = [...old.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
  const focused = old.contains(document.activeElement) ? path(old, document.activeElement) : null;
  old.replaceWith(fresh);
  for (const each of fresh.querySelectorAll("details")) {
    each.open = opened.includes(each.querySelector("summary").textContent);
  }
  [...fresh.querySelectorAll(".scroll")].forEach((each, place) => {
    if (boxes[place]) [each.scrollLeft, each.scrollTop] = boxes[place];
  });
  if (focused) focused.reduce((element, place) => element?.children[place], fresh)?.focus({ preventScroll: true });
}

// Which child of which child an element is.
function path(root, element) {
  const places = [];
  for (let each = element; each !== root; each = each.parentElement) {
    places.unshift([...each.parentElement.children].indexOf(each));
  }
  return places;
}

// A browser keeps few connections to a server, so a page that nobody sees has none.
let source = null;
let version = "";

function follow() {
  const address = new URL(body.dataset.events, location);
  if (version) address.searchParams.set("since", version);
  source = new EventSource(address);
  source.onopen = () => {
    lost = false;
    tell();
  };
  source.onerror = () => {
    lost = true;
    tell();
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  source.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.reload) {
      source.close();
      location.reload();
      return;
    }
    version = event.lastEventId || version;
    lost = false;
    readAt = performance.now() / 1000 - message.age;
    if (trouble.textContent !== message.trouble) trouble.textContent = message.trouble;
    message.parts?.forEach(put);
    tell();
  };
}

document.addEventListener("visibilitychange", () => {
  source?.close();
  if (!document.hidden) follow();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

style(document);
follow();
setInterval(tell, 1000);
// A link to a failure opens its log.
addEventListener("hashchange", () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.matches("details")) target.open = true;
});
