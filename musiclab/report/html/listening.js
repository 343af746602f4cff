// The players of the listening section and of a search's front. In each one audio element plays for all cells, so
// nothing is decoded before it is wanted; each cell keeps its place. One sound plays at a time on the page. Nothing is
// kept in the browser, and a page that has its sounds in it asks nothing of the network.
const audios = [];
for (const section of document.querySelectorAll(".listening")) {
  const audio = new Audio();
  audio.preload = "none";
  audios.push(audio);
  audio.addEventListener("play", () => audios.forEach((other) => other !== audio && other.pause()));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const status = section.querySelector(".status");
  const places = new Map(); // seconds into cells that are not loaded
  let loaded = null;
  let frame = 0;

  const playing = (cell) => cell === loaded && !audio.paused;
  const place = (cell) => (cell === loaded ? audio.currentTime : (places.get(cell) ?? 0));
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  function show(cell) {
    const seconds = Number(cell.dataset.seconds);
    const at = Math.min(place(cell), seconds);
    cell.querySelector("button").setAttribute("aria-pressed", playing(cell));
    const time = cell.querySelector(".at");
    if (time.textContent !== clock(at)) time.textContent = clock(at);
    // Who wants less motion gets a playhead that goes from beat to beat.
    const beat = Number(cell.dataset.bar) / 4;
    const seen = still.matches ? Math.floor(at / beat + 1e-6) * beat : at;
    const step = (seen / seconds) * Number(cell.dataset.steps);
    playhead(cell.querySelector("svg.roll")).setAttribute("transform", `translate(${step.toFixed(3)})`);
  }

  function playhead(roll) {
    const existing = roll.querySelector(".playhead");
    if (existing) return existing;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", "playhead");
    line.setAttribute("d", `M0 0v${roll.viewBox.baseVal.height}`);
    return roll.appendChild(line);
  }

  function load(cell) {
    const before = loaded;
    if (before) {
      audio.pause();
      places.set(before, audio.ended ? 0 : audio.currentTime);
    }
    loaded = cell;
    // A page that stands alone has its sounds in it; one with a server has their addresses.
    audio.src = cell.dataset.sound ?? `data:audio/mpeg;base64,${cell.querySelector(".sound").textContent}`;
    audio.currentTime = places.get(cell) ?? 0;
    if (before) show(before);
  }

  function toggle(cell) {
    status.textContent = "";
    if (playing(cell)) {
      audio.pause();
      return;
    }
    if (cell !== loaded) load(cell);
    audio.play().catch((error) => {
      if (error.name !== "AbortError") status.textContent = `This browser does not play the sound: ${error.message}`;
    });
  }

  function seek(cell, seconds) {
    const at = Math.max(0, Math.min(seconds, Number(cell.dataset.seconds)));
    if (cell === loaded) audio.currentTime = at;
    else places.set(cell, at);
    show(cell);
  }

  function tick() {
    show(loaded);
    if (!audio.paused) frame = requestAnimationFrame(tick);
  }

  for (const event of ["play", "pause", "seeked", "ended", "error"]) {
    audio.addEventListener(event, () => {
      cancelAnimationFrame(frame);
      if (loaded) tick();
    });
  }

  section.addEventListener("click", (event) => {
    // A point of a front leads to its sound and plays it; without scripts it only leads there.
    const point = event.target.closest("a[href^='#hear-']");
    if (point) {
      event.preventDefault();
      const heard = document.getElementById(point.getAttribute("href").slice(1));
      heard.scrollIntoView({ block: "center" });
      heard.querySelector("button").focus({ preventScroll: true });
      toggle(heard);
      return;
    }
    const cell = event.target.closest(".cell");
    const roll = event.target.closest("svg.roll");
    if (event.target.closest("button")) toggle(cell);
    else if (roll && cell.dataset.seconds) {
      const box = roll.getBoundingClientRect();
      const across = roll.viewBox.baseVal;
      const step = across.x + (across.width * (event.clientX - box.left)) / box.width;
      seek(cell, (step / Number(cell.dataset.steps)) * Number(cell.dataset.seconds));
    }
  });

  section.addEventListener("keydown", (event) => {
    const button = event.target.closest("button");
    if (!button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const cell = button.closest(".cell");
    const bar = Number(cell.dataset.bar);
    const actions = {
      ArrowLeft: () => seek(cell, place(cell) - bar),
      ArrowRight: () => seek(cell, place(cell) + bar),
      ArrowUp: () => neighbour(cell, "previousElementSibling")?.focus(),
      ArrowDown: () => neighbour(cell, "nextElementSibling")?.focus(),
      Home: () => seek(cell, 0),
    };
    if (!(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });

  // The next button up or down in the same column; cells without sound are passed over.
  function neighbour(cell, sibling) {
    for (let row = cell.parentElement[sibling]; row; row = row[sibling]) {
      const button = row.cells[cell.cellIndex].querySelector("button");
      if (button) return button;
    }
    return null;
  }
}
