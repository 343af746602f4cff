// The test as a server has it. Everything is asked of the server, so that any browser may go on with a session.
const source = {
  token: facts.form_token,
  session: decodeURIComponent(location.pathname.match(/^\/session\/([^/]+)/)?.[1] ?? ""),

  get before() {
    return this.session || kept.get("session");
  },

  link() {
    return `${location.origin}/session/${this.session}`;
  },

  async begin(training) {
    return this.at(await this.post("/api/begin", { training }));
  },

  async state() {
    return this.at(await (await this.get(this.path())).json());
  },

  async resume() {
    this.session = this.before;
    return this.state();
  },

  async answer(answer) {
    return this.at(await this.post(this.path("/answer"), answer));
  },

  async withdraw() {
    return this.at(await this.post(this.path("/withdraw"), {}));
  },

  async reference() {
    return (await this.get("/api/reference")).arrayBuffer();
  },

  async sound(name) {
    return (await this.get(this.path(`/sound/${name}`))).arrayBuffer();
  },

  path(more = "") {
    return `/api/session/${encodeURIComponent(this.session)}${more}`;
  },

  at(state) {
    this.token = state.form_token;
    if (this.session !== state.session || location.pathname === "/") history.replaceState(null, "", `/session/${state.session}`);
    this.session = state.session;
    kept.set("session", state.session);
    return state;
  },

  async get(path) {
    return this.checked(() => fetch(path, { cache: "no-store" }));
  },

  async post(path, body) {
    const send = () =>
      fetch(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Form-Token": this.token },
        body: JSON.stringify(body),
      });
    try {
      return await (await this.checked(send)).json();
    } catch (refusal) {
      // After a restart the server has another token for forms, and tells it to its own pages.
      if (refusal.status !== 403) throw refusal;
      const page = await (await this.get("/")).text();
      const text = new DOMParser().parseFromString(page, "text/html").getElementById("facts")?.textContent;
      this.token = JSON.parse(text ?? "{}").form_token;
      return (await this.checked(send)).json();
    }
  },

  async checked(send) {
    let response;
    try {
      response = await send();
    } catch {
      throw new Refusal("The server does not answer.", true);
    }
    if (response.ok) return response;
    const text = (await response.text()).trim();
    let sentence = text.split("\n")[0];
    try {
      sentence = JSON.parse(text).error;
    } catch {
      // It is a sentence already.
    }
    if (response.status === 401) sentence = "The server was started again; load this page anew to sign in.";
    const refusal = new Refusal(sentence, response.status === 401 || response.status >= 500);
    refusal.status = response.status;
    throw refusal;
  },
};
