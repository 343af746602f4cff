// A listener's way through the test, from consent to thanks. `source` is the server, or a file that has everything.
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const PAUSE_EVERY = 10;
const pairs = facts.protocol === "pairs";

let state = null; // what the source said last
let view = "";
let since = null; // when all was heard for the first time
let answered = false; // whether what is shown has its answer

const player = new Player(showSound, () => giveUp("This browser cannot play MP3. Please open this test in another one, such as Firefox, Chrome or Safari."));

function show(name) {
  view = name;
  all("[data-view]").forEach((section) => (section.hidden = section.dataset.view !== name));
  one("#test").hidden = false;
  const inSession = state !== null && !state.withdrawn && name !== "stopped";
  one("#foot").hidden = !inSession;
  sure(false);
  scrollTo(0, 0);
  one(`[data-view="${name}"] h1`).focus({ preventScroll: true });
}

function giveUp(sentence) {
  player.stop();
  one("#stopped").textContent = sentence;
  show("stopped");
}

function warn(sentence) {
  one("#alert").textContent = sentence;
  one("#alert").hidden = !sentence;
}

// What `work` gives; while it is refused for a reason that may pass, it is tried again.
async function untilDone(work, promise = "") {
  for (let pause = 1000; ; pause = Math.min(pause * 1.5, 10000)) {
    try {
      const result = await work();
      warn("");
      return result;
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      if (!refusal.passes) throw refusal;
      warn(`${refusal.message} ${promise || "This page tries again by itself."}`);
    }
    await wait(pause);
  }
}

// Run what a listener asked for; what cannot be done ends in one sentence.
async function run(work) {
  try {
    await work();
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    warn("");
    giveUp(refusal.message);
  }
}

async function begin(training) {
  state = await untilDone(() => source.begin(training));
  await volume();
}

async function resume() {
  state = await untilDone(() => source.resume());
  const waiting = kept.get(`answer-${state.session}`);
  if (waiting) await send(waiting);
  if (state.withdrawn) show("withdrawn");
  else if (isDone()) thanks();
  else await volume();
}

async function volume() {
  tellLink();
  player.load({});
  one('[data-do="volume"]').disabled = true;
  show("volume");
  player.load({ reference: await untilDone(() => source.reference()) });
  for (;;) {
    const preparing = one("[data-preparing]");
    preparing.hidden = !state.lacking;
    preparing.textContent = `The sounds are being prepared: ${state.sounds - state.lacking} of ${state.sounds}.`;
    showSound();
    if (!state.lacking || view !== "volume") return;
    await wait(1000);
    state = await untilDone(() => source.state());
  }
}

const isDone = () => state.answered === facts.warm_ups + facts.presentations;

function next() {
  const counted = state.answered - facts.warm_ups;
  if (view === "presentation" && counted > 0 && counted % PAUSE_EVERY === 0 && !isDone()) {
    one("#pause-count").textContent = `${counted} of ${facts.presentations} are done.`;
    return show("pause");
  }
  return run(present);
}

async function present() {
  if (state.withdrawn) return show("withdrawn");
  if (isDone()) return thanks();
  const counted = state.answered - facts.warm_ups;
  const noun = pairs ? "Pair" : "Piece";
  one("#count").textContent =
    counted < 0 ? `Warm-up ${state.answered + 1} of ${facts.warm_ups}` : `${noun} ${counted + 1} of ${facts.presentations}`;
  one("#progress").max = counted < 0 ? facts.warm_ups : facts.presentations;
  one("#progress").value = counted < 0 ? state.answered : counted;
  player.load({});
  one("#answer").reset();
  one("#answer").hidden = false;
  all(".grade").forEach((button) => button.classList.remove("chosen"));
  one("#after").hidden = true;
  one("#notes").open = false;
  one("#notes div").replaceChildren();
  since = null;
  answered = false;
  show("presentation");
  player.load(await untilDone(sounds));
}

// The sounds of the presentation; a server that was started anew makes them again, under other names.
async function sounds() {
  while (state.lacking) {
    one("#hint").textContent = `The sounds are being prepared: ${state.sounds - state.lacking} of ${state.sounds}.`;
    await wait(1000);
    state = await source.state();
  }
  try {
    const roles = Object.keys(state.names);
    const data = await Promise.all(roles.map((role) => source.sound(state.names[role])));
    return Object.fromEntries(roles.map((role, index) => [role, data[index]]));
  } catch (refusal) {
    if (refusal instanceof Refusal && refusal.status === 404) {
      state = await source.state();
      throw new Refusal("The sounds have changed their names.", true);
    }
    throw refusal;
  }
}

function thanks() {
  tellLink();
  source.save?.();
  show("thanks");
}

function tellLink() {
  all("[data-link]").forEach((link) => {
    link.href = source.link();
    link.textContent = source.link();
  });
}

const allHeard = () => player.heard.has("a") && (!pairs || player.heard.has("b"));
const mayAnswer = () => view === "presentation" && !answered && allHeard();

function showSound() {
  for (const button of all("[data-play]")) {
    const role = button.dataset.play;
    const current = player.role === role;
    button.disabled = !player.urls[role];
    button.classList.toggle("playing", current && player.isPlaying);
    button.classList.toggle("heard", player.heard.has(role));
    button.querySelector(".bar").style.width = `${(100 * player.share(role)).toFixed(1)}%`;
    if (role === "reference") button.querySelector(".name").textContent = current && player.isPlaying ? "Pause" : "Play";
    if (role === "reference" && current && state) one('[data-do="volume"]').disabled = state.lacking > 0;
  }
  const pause = one('[data-do="pause"]');
  pause.disabled = !player.isPlaying && !player.isPaused;
  pause.setAttribute("aria-pressed", player.isPaused);
  if (view !== "presentation") return;
  if (allHeard() && since === null) since = performance.now();
  const answers = one(".answers");
  if (answers.disabled === mayAnswer()) answers.disabled = !mayAnswer();
  const hint = !Object.keys(player.urls).length
    ? one("#hint").textContent
    : allHeard() || answered
      ? pairs ? "Answer by a button, or by the keys 1 to 5." : "Rate each scale by a button, or by the keys 1 to 5."
      : pairs ? "Hear A and B to the end, then answer." : "Hear the continuation to the end, then rate it.";
  if (one("#hint").textContent !== hint) one("#hint").textContent = hint;
  one("#hint").hidden = answered;
}

async function send(answer) {
  const name = `answer-${state.session}`;
  kept.set(name, answer);
  const promise = "Your answer is kept in this browser, and this page sends it again by itself.";
  try {
    state = await untilDone(() => source.answer(answer), promise);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    state = await untilDone(() => source.state());
    if (state.answered <= answer.number) throw refusal; // it is not kept anywhere, and will not be
  }
  kept.set(name, null);
}

async function answer(value) {
  if (!mayAnswer()) return;
  answered = true;
  player.stop();
  one(".answers").disabled = true;
  showSound();
  await send({ number: state.answered, answer: value, seconds: Math.round(performance.now() - since) / 1000 });
  const notes = Object.entries(state.rolls ?? {});
  one("#notes").hidden = !notes.length;
  one("#notes div").innerHTML = notes
    .map(([role, svg]) => `<figure>${pairs ? `<figcaption>${role.toUpperCase()}</figcaption>` : ""}${svg}</figure>`)
    .join("");
  one("#after").hidden = false;
  one("#after .main").focus();
}

const rating = () => Object.fromEntries([...new FormData(one("#answer"))].map(([scale, value]) => [scale, Number(value)]));
const isRated = () => Object.keys(rating()).length === facts.scales.length;

// A digit rates the scale that has the focus, or the first one without a rating, and goes on to the next.
function rate(value) {
  const scales = all("[data-scale]");
  const at = document.activeElement.closest("[data-scale]") ?? scales.find((scale) => !scale.querySelector(":checked"));
  if (!at) return;
  at.querySelector(`input[value="${value}"]`).checked = true;
  one("[data-save]").disabled = !isRated();
  const following = scales.slice(scales.indexOf(at) + 1).find((scale) => !scale.querySelector(":checked"));
  (following?.querySelector("input") ?? one("[data-save]")).focus();
}

function sure(asked) {
  one("[data-sure]").hidden = !asked;
  one("[data-withdraw]").hidden = asked;
}

const actions = {
  agree: () => show("training"),
  return: () => run(resume),
  volume: () => {
    player.stop();
    if (state.answered) run(present);
    else show("how");
  },
  begin: () => run(present),
  pause: () => player.toggle(),
  next: () => next(),
  "ask-withdraw": () => {
    sure(true);
    one('[data-do="stay"]').focus();
  },
  stay: () => {
    sure(false);
    one('[data-do="ask-withdraw"]').focus();
  },
  withdraw: () =>
    run(async () => {
      player.stop();
      state = await untilDone(() => source.withdraw());
      source.save?.();
      show("withdrawn");
    }),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { play, grade } = button.dataset;
  if (play === "reference" && player.role === play) player.toggle();
  else if (play) player.play(play);
  else if (grade) {
    button.classList.add("chosen");
    run(() => answer(grade));
  } else actions[button.dataset.do]?.();
});

one("#training").addEventListener("submit", (event) => {
  event.preventDefault();
  run(() => begin(new FormData(event.target).get("training")));
});
one("#answer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!pairs && isRated()) run(() => answer(rating()));
});
one("#answer").addEventListener("change", () => !pairs && (one("[data-save]").disabled = !isRated()));

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (view === "pause" && key === "enter" && event.target === document.activeElement && !event.target.closest("button")) next();
  if (view !== "presentation") return;
  const role = { s: "start", a: "a", b: "b" }[key];
  const isButton = event.target.closest("button, summary, input") && !event.target.closest(".play, .pause");
  if (role && !answered) player.play(role);
  else if (key === " " && !isButton && !answered) player.toggle();
  else if (/^[1-5]$/.test(key) && mayAnswer()) {
    if (pairs) one(`.grade:nth-of-type(${key})`).click();
    else rate(key);
  } else if (key === "enter" && answered && !one("#after").hidden && !isButton) next();
  else return;
  event.preventDefault();
});

if (!Player.playsMp3()) giveUp("This browser cannot play MP3. Please open this test in another one, such as Firefox, Chrome or Safari.");
else if (source.session) run(resume);
else {
  one("[data-before]").hidden = !source.before;
  show("consent");
}
