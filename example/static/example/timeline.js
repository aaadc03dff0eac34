/* Jobs and what they say of themselves, each a list of events with the seconds since it was asked for. */

const $ = (id) => document.getElementById(id);
const KEPT_JOBS = 12;

const FORMS = {
  "flaky-form": () => ({ title: `Fails ${times($("fail").value)}`, order: { do: "flaky", fail: Number($("fail").value) } }),
  "later-form": () => ({
    title: `Runs in ${$("seconds").value} s`,
    order: { do: "later", seconds: Number($("seconds").value) },
  }),
  "chain-form": () => ({
    title: `Three steps from ${$("value").value}`,
    order: { do: "chain", value: Number($("value").value) },
  }),
};

function times(count) {
  return count === "1" ? "once" : `${count} times`;
}

export function setUp(desk) {
  for (const [id, read] of Object.entries(FORMS)) {
    $(id).addEventListener("submit", (event) => {
      event.preventDefault();
      const { title, order } = read();
      const add = begin(title);
      desk.ask(order, add);
    });
  }
}

function begin(title) {
  $("no-jobs").hidden = true;
  const job = $("job-template").content.cloneNode(true).firstElementChild;
  job.querySelector(".job-title").textContent = title;
  $("timelines").prepend(job);
  while ($("timelines").children.length > KEPT_JOBS) $("timelines").lastElementChild.remove();
  const askedAt = performance.now();
  return (kind, data, id) => add(job, (performance.now() - askedAt) / 1000, kind, data, id);
}

function add(job, seconds, kind, data, id) {
  if (kind === "taken") {
    job.querySelector(".job-id").textContent = `job ${id}`;
    return;
  }
  job.dataset.state = kind;
  job.querySelector(".badge").textContent = BADGES[kind] ?? "running";
  const item = document.createElement("li");
  item.dataset.kind = kind;
  const time = Object.assign(document.createElement("time"), { textContent: `+${seconds.toFixed(2)} s` });
  const said = Object.assign(document.createElement("span"), { textContent: told(kind, data) });
  item.append(time, said);
  job.querySelector(".events").append(item);
}

const BADGES = {
  accepted: "accepted",
  retry: "trying again",
  result: "done",
  error: "failed",
  cancelled: "cancelled",
  refused: "refused",
  lost: "lost sight of",
};

const TELL = {
  accepted: ({ eta }) => (eta ? `accepted, due at ${new Date(eta).toLocaleTimeString()}` : "accepted"),
  started: () => "started",
  step: ({ done, of }) => `step ${done} of ${of} done`,
  retry: ({ attempt, in_seconds }) => `attempt ${attempt} went wrong, the next is in ${in_seconds.toFixed(1)} s`,
  error: ({ message, reference }) => `${message} (reference ${reference})`,
  refused: (data) => data,
  lost: () => "the connection was lost before the outcome came",
  cancelled: () => "cancelled",
};

function told(kind, data) {
  if (kind === "result") return outcome(data);
  return TELL[kind]?.(data ?? {}) ?? `${kind} ${JSON.stringify(data)}`;
}

function outcome(data) {
  if (data?.steps) return `${data.steps.join(", then ")}`;
  if (data?.attempts) return `went well at attempt ${data.attempts}`;
  if (data?.ran) return `ran ${((new Date(data.ran) - new Date(data.due)) / 1000).toFixed(2)} s after its time`;
  return JSON.stringify(data);
}
