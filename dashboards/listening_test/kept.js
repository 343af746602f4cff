const facts = JSON.parse(document.getElementById("facts").textContent);

// What this browser remembers, so that nothing is lost if a page is closed. Some browsers forbid it; then the page goes on
// without.
const kept = {
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(`musiclab-${name}`));
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem(`musiclab-${name}`);
      else localStorage.setItem(`musiclab-${name}`, JSON.stringify(value));
    } catch {
      // Nothing is remembered.
    }
  },
};

// A refusal in one sentence; `passes` if asking again later may help.
class Refusal extends Error {
  constructor(sentence, passes) {
    super(sentence);
    this.passes = passes;
  }
}
