// Plays the sounds of one presentation, one at a time and each from its beginning. One audio element plays them all,
// because phones let a page play without a touch only what was touched before.
class Player {
  constructor(changed, failed) {
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.changed = changed;
    this.urls = {};
    this.role = null; // what plays, or is paused
    this.heard = new Set(); // what was heard to its end
    this.following = null; // what plays next, in a moment or, if that is paused, when the listener goes on
    this.gap = null; // the timer of that moment
    for (const event of ["play", "pause", "timeupdate"]) this.audio.addEventListener(event, () => changed());
    this.audio.addEventListener("ended", () => this.ended());
    this.audio.addEventListener("error", () => this.role && failed());
    this.failed = failed;
  }

  static playsMp3() {
    return new Audio().canPlayType("audio/mpeg") !== "";
  }

  // `sounds` are ArrayBuffers by role, in the order in which they are heard.
  load(sounds) {
    this.stop();
    Object.values(this.urls).forEach((url) => URL.revokeObjectURL(url));
    this.urls = {};
    for (const [role, data] of Object.entries(sounds)) {
      this.urls[role] = URL.createObjectURL(new Blob([data], { type: "audio/mpeg" }));
    }
    this.heard.clear();
    this.changed();
  }

  stop() {
    this.follow(null);
    this.audio.pause();
    this.role = null;
  }

  follow(role, soon = false) {
    clearTimeout(this.gap);
    this.following = role;
    this.gap = soon ? setTimeout(() => this.play(role), 700) : null;
  }

  play(role) {
    if (!this.urls[role]) return;
    this.follow(null);
    this.role = role;
    this.audio.src = this.urls[role];
    this.start();
  }

  start() {
    this.audio.play().catch((error) => error.name === "NotSupportedError" && this.failed());
    this.changed();
  }

  // Pause, or go on; if nothing plays, play what comes first.
  toggle() {
    if (this.gap) this.follow(this.following);
    else if (this.following) this.play(this.following);
    else if (this.role === null || this.audio.ended) this.play(Object.keys(this.urls)[0]);
    else if (this.audio.paused) this.start();
    else this.audio.pause();
    this.changed();
  }

  // What was not heard yet follows by itself.
  ended() {
    const roles = Object.keys(this.urls);
    const next = roles[roles.indexOf(this.role) + 1];
    this.heard.add(this.role);
    if (next && !this.heard.has(next)) this.follow(next, true);
    this.changed();
  }

  get isPlaying() {
    return this.gap !== null || (this.role !== null && !this.audio.paused);
  }

  get isPaused() {
    if (this.following) return this.gap === null;
    return this.role !== null && this.audio.paused && !this.audio.ended && this.audio.currentTime > 0;
  }

  // How much of a sound has been played, from 0 to 1; while it plays or is paused.
  share(role) {
    if (role !== this.role || !this.audio.duration) return 0;
    return this.audio.currentTime / this.audio.duration;
  }
}
