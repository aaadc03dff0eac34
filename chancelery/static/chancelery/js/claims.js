/*
 * The claims to jobs that the server has given to this page. Where the browser allows it they outlive a reload of the
 * page, in this tab only.
 */

const KEY = "chancelery.claims";
const KEPT_CLAIMS = 100;

export class Claims {
  #known = new Map(Object.entries(stored()));

  get(id) {
    return this.#known.get(id);
  }

  set(id, claim) {
    if (this.#known.get(id) === claim) return;
    this.#known.set(id, claim);
    if (this.#known.size > KEPT_CLAIMS) this.#known.delete(this.#known.keys().next().value);
    store(this.#known);
  }

  delete(id) {
    if (this.#known.delete(id)) store(this.#known);
  }
}

/* A browser that keeps nothing for this page says so by throwing. */
function stored() {
  try {
    const found = JSON.parse(globalThis.sessionStorage?.getItem(KEY) ?? "{}");
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

function store(known) {
  try {
    globalThis.sessionStorage?.setItem(KEY, JSON.stringify(Object.fromEntries(known)));
  } catch {
    // then they end with the page
  }
}
