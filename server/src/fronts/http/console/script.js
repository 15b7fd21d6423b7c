// Two things that need a script: copying, and the live view. What comes from records is set as text, never as markup.
"use strict";

const ROWS_MAX = 500;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

for (const block of document.querySelectorAll("[data-copy]")) {
  const button = element("button", "Copy the " + block.dataset.copy);
  button.type = "button";
  const said = element("span", "", "quiet");
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.textContent);
      said.textContent = " copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(block);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      said.textContent = document.execCommand("copy") ? " copied" : " selected: copy it by the keyboard";
    }
  });
  const line = element("p");
  line.append(button, said);
  block.after(line);
}

function shown(value, format) {
  if (value === null) return "";
  return format === "text" || format === "binary" ? String(value) : JSON.stringify(value);
}

function cut(text, most) {
  return text.length > most ? text.slice(0, most) + " ..." : text;
}

const live = document.getElementById("live");
if (live) {
  const start = element("button", "Start");
  start.type = "button";
  const counts = element("p", "Not started.");
  counts.setAttribute("role", "status");
  const box = element("div", undefined, "scroll");
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Live messages");
  box.tabIndex = 0;
  const table = element("table");
  const head = element("tr");
  for (const name of ["Partition", "Offset", "Time", "Key", "Value"]) {
    const cell = element("th", name, ["Partition", "Offset"].includes(name) ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  }
  const rows = element("tbody");
  table.append(element("thead"), rows);
  table.tHead.append(head);
  box.append(table);
  live.append(start, counts);

  let source = null, seen = 0, fitting = 0, skipped = 0, state = "waiting";
  let told = "";
  const tell = () => {
    const text = `${fitting} shown of ${seen} that came, ${skipped} skipped; ${state}.` +
      (fitting > ROWS_MAX ? ` The last ${ROWS_MAX} stand here.` : "");
    if (text !== told) counts.textContent = told = text;
  };
  const row = (record) => {
    const line = element("tr");
    const link = element("a", String(record.offset));
    link.href = `${live.dataset.message}?partition=${record.partition}&offset=${record.offset}`;
    const offset = element("th", undefined, "number");
    offset.scope = "row";
    offset.append(link);
    const key = element("td", undefined, "data");
    key.append(element("code", cut(shown(record.key, record.key_format), 60)));
    const value = element("td", undefined, "data");
    value.append(element("code", cut(shown(record.value, record.value_format), 240)));
    const date = new Date(record.timestamp);
    const time = isNaN(date) ? String(record.timestamp) : date.toISOString();
    line.append(element("td", String(record.partition), "number"), offset, element("td", time, "time"), key, value);
    return line;
  };
  const stop = (why) => {
    if (source) source.close();
    source = null;
    state = why;
    start.textContent = "Start";
    tell();
  };
  start.addEventListener("click", () => {
    if (source) return stop("stopped");
    live.append(box);
    state = "connecting";
    source = new EventSource(live.dataset.from);
    source.onopen = () => { state = "listening"; tell(); };
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) stop("the broker has ended it");
      else { state = "coming back, from where it was"; tell(); }
    };
    source.addEventListener("failed", (event) => stop(JSON.parse(event.data).message));
    source.onmessage = (event) => {
      const data = JSON.parse(event.data);
      seen += data.seen;
      skipped += data.skipped;
      fitting += data.records.length;
      state = data.is_behind ? "behind, reading on" : "listening";
      for (const record of data.records) rows.prepend(row(record));
      while (rows.rows.length > ROWS_MAX) rows.deleteRow(-1);
      tell();
    };
    start.textContent = "Stop";
    tell();
  });
}
