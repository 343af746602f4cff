// The test as this file has it. Nothing is asked of any network; answers stay in this browser until they are saved.
const content = JSON.parse(document.getElementById("content").textContent);
const source = {
  session: "",
  saved: null, // what is saved as a file in the end
  name: `test-${content.plan}`,

  get before() {
    return kept.get(this.name)?.session.id;
  },

  async begin(training) {
    const numbers = Object.keys(content.sessions);
    const random = crypto.getRandomValues(new Uint8Array(16));
    const id = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const number = Number(numbers[crypto.getRandomValues(new Uint32Array(1))[0] % numbers.length]);
    const session = { id, number, began: Date.now() / 1000, training };
    this.saved = { format: content.format, plan: content.plan, session, answers: [], withdrawn: false };
    return this.state();
  },

  async resume() {
    this.saved = kept.get(this.name);
    return this.state();
  },

  async state() {
    this.session = this.saved.session.id;
    kept.set(this.name, this.saved);
    const answered = this.saved.answers.length;
    const names = content.sessions[this.saved.session.number][answered] ?? {};
    return { session: this.session, answered, withdrawn: this.saved.withdrawn, sounds: 0, lacking: 0, names };
  },

  async answer({ number, answer, seconds }) {
    if (number === this.saved.answers.length) {
      this.saved.answers.push({ number, answer, seconds, time: Date.now() / 1000 });
    }
    return this.state();
  },

  async withdraw() {
    this.saved.withdrawn = true;
    return this.state();
  },

  async reference() {
    return this.sound(content.reference);
  },

  async sound(index) {
    return Uint8Array.from(atob(content.sounds[index]), (char) => char.charCodeAt(0)).buffer;
  },

  // Let the links of the last pages save the answers as a file.
  save() {
    const url = URL.createObjectURL(new Blob([JSON.stringify(this.saved, null, 1)], { type: "application/json" }));
    document.querySelectorAll("[data-save-file]").forEach((link) => {
      link.href = url;
      link.download = `listening-${this.session.slice(0, 8)}.json`;
    });
  },
};
